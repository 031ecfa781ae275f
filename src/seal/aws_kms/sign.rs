//! Signature Version 4 of one kind of request: a POST to `/` without a query
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//!
//! AWS's own signer would bring a second implementation of SHA-256 and HMAC into the binary; this
//! one is over AWS-LC and held against AWS's published example and an independent signer.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::credentials::Credentials;
use crate::seal::data_key::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed.
pub(super) struct Request<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// The time, as in the `X-Amz-Date` header: `20261123T120000Z`.
    pub(super) at: &'a str,
    /// Every header that is signed, by lower-case name, in the order of names.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self, credentials: &Credentials) -> String {
        let day = self.at.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");

        let mut canonical = "POST\n/\n\n".to_owned();
        for (name, value) in self.headers {
            // Writing to a String cannot fail.
            let _infallible = writeln!(canonical, "{name}:{}", value.trim());
        }
        let body = digest::digest(&digest::SHA256, self.body);
        let _infallible = write!(canonical, "\n{names}\n{}", hex(body.as_ref()));
        let canonical = digest::digest(&digest::SHA256, canonical.as_bytes());

        let mut secret = Zeroizing::new(b"AWS4".to_vec());
        secret.extend_from_slice(credentials.secret_access_key.as_bytes());
        let mut key = tag(&secret, day);
        for part in [self.region, self.service, "aws4_request"] {
            key = tag(&key, part);
        }
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            self.at,
            hex(canonical.as_ref())
        );
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            credentials.access_key_id,
            hex(&tag(&key, &to_sign))
        )
    }
}

fn tag(key: &[u8], text: &str) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Zeroizing::new(hmac::sign(&key, text.as_bytes()).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's Signature Version 4 test suite, `post-vanilla` and `post-x-www-form-urlencoded`.
    #[test]
    fn the_published_examples_come_out() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new(
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            ),
            session_token: None,
        };
        let at = "20150830T123600Z";
        let (host, date) = (("host", "example.amazonaws.com"), ("x-amz-date", at));
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let plain: &[(&str, &str)] = &[host, date];
        let form: &[(&str, &str)] = &[kind, host, date];
        let cases = [
            (
                plain,
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                form,
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ];
        for (headers, body, signature) in cases {
            let request = Request {
                region: "us-east-1",
                service: "service",
                at,
                headers,
                body: body.as_bytes(),
            };
            let authorization = request.authorization(&credentials);
            assert!(authorization.ends_with(signature), "{authorization}");
            assert!(authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            ));
        }
    }
}
