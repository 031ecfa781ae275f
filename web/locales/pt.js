/** @file The form's words in Portuguese, in the order of `../locales.js`. */
export const words = `Dados do cartão|Número do cartão|Validade|MM / AA|Mês|Ano|Código de segurança|Nome no cartão|Código postal|Código postal|Guardar cartão
|Introduza o número completo.|Este número não está certo.|Introduza a validade completa.|Esta validade não está certa.|Este cartão expirou.
|Introduza o código completo.|Este código não está certo.|Introduza o nome no cartão.|Introduza o código postal.|Este código postal não está certo.
|A enviar o cartão …|Demora mais do que o normal. Fique nesta página.|Ligação perdida. Nova tentativa …|Sem ligação. Nada se perdeu: tente de novo.|O cartão foi recusado. Use outro cartão.|O cartão não tem saldo suficiente.|Este formulário expirou. Recarregue a página.|Demasiadas tentativas. Comece de novo.|Não funciona agora. Tente de novo.|Cartão guardado.|O seu banco quer confirmar. Vamos para lá …
|É precisa mais uma verificação. Comece o pagamento de novo.|Voltou sem resposta do seu banco. Recarregue a página.|Volte à loja e comece de novo.|Pagar {amount}|Código de segurança recebido.`;
