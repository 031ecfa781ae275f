/** @file The form's words in Spanish, in the order of `../locales.js`. */
export const words = `Datos de la tarjeta|Número de tarjeta|Caducidad|MM / AA|Mes|Año|Código de seguridad|Nombre en la tarjeta|Código postal|Código postal|Guardar tarjeta
|Introduzca el número completo.|Este número no es correcto.|Introduzca la fecha completa.|Esta fecha no es correcta.|Esta tarjeta ha caducado.
|Introduzca el código completo.|Este código no es correcto.|Introduzca el nombre de la tarjeta.|Introduzca el código postal.|Este código postal no es correcto.
|Enviando la tarjeta …|Tarda más de lo normal. No salga de esta página.|Conexión perdida. Otro intento …|Sin conexión. No se ha perdido nada: inténtelo de nuevo.|La tarjeta fue rechazada. Use otra tarjeta.|La tarjeta no tiene fondos suficientes.|Este formulario ha caducado. Recargue la página.|Demasiados intentos. Empiece de nuevo.|Ahora no funciona. Inténtelo de nuevo.|Tarjeta guardada.|Su banco quiere confirmarlo. Le llevamos allí …
|Se necesita una comprobación más. Empiece el pago de nuevo.|Ha vuelto sin respuesta de su banco. Recargue la página.|Vuelva a la tienda y empiece de nuevo.|Pagar {amount}|Código de seguridad recibido.`;
