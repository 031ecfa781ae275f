//! Answers, however they come.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncWrite};

use super::load::wire::{Connection, request};

/// A connection to a server that has sent these pieces, one after the other, and gone.
fn connection(pieces: &[&str]) -> Connection<pieces::Pieces> {
    Connection::over(pieces::Pieces::new(pieces))
}

mod pieces {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::{AsyncRead, AsyncWrite, io};

    /// Reads give a piece each, then the end; writes are kept.
    pub(super) struct Pieces {
        pieces: VecDeque<Vec<u8>>,
        pub(super) written: Vec<u8>,
    }

    impl Pieces {
        pub(super) fn new(pieces: &[&str]) -> Self {
            let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec());
            Self {
                pieces: pieces.collect(),
                written: Vec::new(),
            }
        }
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.pieces.pop_front() {
                buffer.put_slice(&piece);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}

#[tokio::test]
async fn an_answer_is_read_to_its_end_however_it_is_cut() {
    let whole = "HTTP/1.1 201 Created\r\ncontent-length: 7\r\nx-request-id: a\r\n\r\n{\"a\":1}";
    for cut in 1..whole.len() {
        let (first, second) = whole.split_at(cut);
        let mut connection = connection(&[first, second]);
        let answer = connection.exchange(b"GET").await.unwrap();
        assert_eq!((answer.status, answer.kept), (201, true));
        assert_eq!(&answer.body[..], b"{\"a\":1}");
        assert_eq!(connection.stream.written, b"GET");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_the_next_one() {
    let answers = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n";
    let mut connection = connection(&[answers]);
    let first = connection.exchange(b"").await.unwrap();
    let second = connection.exchange(b"").await.unwrap();
    assert_eq!((first.status, &first.body[..]), (200, &b"ok"[..]));
    assert_eq!((second.status, second.body.len()), (204, 0));
    assert!(first.kept && !second.kept);
}

#[tokio::test]
async fn an_answer_that_ends_early_or_is_none_is_an_error() {
    for (said, kind) in [
        ("", ErrorKind::UnexpectedEof),
        ("HTTP/1.1 200 OK\r\n", ErrorKind::UnexpectedEof),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            ErrorKind::UnexpectedEof,
        ),
        ("HTTP/1.1 OK\r\n\r\n", ErrorKind::InvalidData),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            ErrorKind::InvalidData,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ErrorKind::Unsupported,
        ),
    ] {
        let failed = connection(&[said]).exchange(b"").await.unwrap_err();
        assert_eq!(failed.kind(), kind, "{said}");
    }
}

#[test]
fn a_request_says_how_long_its_body_is_and_nothing_of_one_it_has_not() {
    let post = request("POST /v1/charges", &[("Idempotency-Key", "k")], "{}");
    assert_eq!(
        String::from_utf8(post).unwrap(),
        "POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
    let get = request("GET /metrics", &[], "");
    assert_eq!(get, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
}
