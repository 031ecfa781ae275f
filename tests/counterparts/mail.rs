//! Alerts by mail, to a mail server that others wrote: over TLS in both ways, and in no other.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hyper::Method;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{Server, file, program};
use crate::support::{App, Who, eventually};

/// A mail server with a certificate of its own for `localhost`.
struct Post {
    server: Server,
    dir: TempDir,
}

impl Post {
    fn start(mode: &str) -> Self {
        let dir = TempDir::new().unwrap();
        certificate(dir.path(), "server");
        let path = |name: &str| dir.path().join(name);
        let server = Server::start(
            program("python")
                .arg(file("mail_server.py"))
                .arg(mode)
                .args([path("server.pem"), path("server-key"), path("kept")]),
        );
        Self { server, dir }
    }

    /// The section of a configuration, with the certificate of `authority` as the only trusted one.
    fn settings(&self, security: &str, authority: &Path, more: &str) -> String {
        let port = self.server.url.rsplit(':').next().unwrap();
        format!(
            "{{host=\"localhost\",port={port},security=\"{security}\",ca_file={authority:?},\
             from=\"Cloakroom <alerts@shop.example>\"{more}}}"
        )
    }

    fn authority(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    /// What the server has kept: begun messages and whole ones.
    fn kept(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("kept")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn messages(&self) -> Vec<Value> {
        let kept = self.kept().into_iter();
        kept.filter(|one| one["text"].is_string()).collect()
    }
}

fn certificate(dir: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let made = names.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), made.pem()).unwrap();
    fs::write(dir.join(format!("{name}-key")), key.serialize_pem()).unwrap();
}

fn start(settings: &str) -> App {
    App::start_with(&[], &[("CLOAKROOM__ALERTS__MAIL", settings)])
}

/// Somebody reports something, which is an alert; its ticket.
async fn report(app: &App) -> String {
    let url = format!("{}/v1/reports", app.at.capture);
    let body = json!({ "about": "incident", "message": "Somebody sells your data." });
    let answer = app.call(Who::Nobody, Method::POST, &url, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_alert_comes_by_mail_over_starttls_with_what_to_do_next() {
    let post = Post::start("starttls");
    let password = post.dir.path().join("password");
    fs::write(&password, "correct horse\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!(
        ",user=\"cloakroom\",password_file={password:?},\
         to=[\"ops@shop.example\",\"gone@shop.example\",\"night@shop.example\"]"
    );
    let app = start(&post.settings("starttls", &post.authority(), &more));
    let ticket = report(&app).await;
    eventually("both have mail", async || post.messages().len() == 2).await;
    let mut told = Vec::new();
    for message in post.messages() {
        let text = message["text"].as_str().unwrap();
        assert!(text.contains(&ticket), "{text}");
        assert!(text.contains("Subject: [cloakroom test] page: report_taken"));
        assert!(text.contains("What to do next: Read it at GET /v1/reports"));
        assert!(text.contains("Message-ID: <test_alr_"), "{text}");
        assert!(!text.contains("sells"), "what a stranger wrote is not sent");
        told.push(message["to"][0].as_str().unwrap().to_owned());
    }
    told.sort();
    assert_eq!(told, ["night@shop.example", "ops@shop.example"]);
    assert!(post.kept().iter().all(|one| one["tls"] != false));
    eventually("the mailbox that is not there is given up", async || {
        let url = format!("{}/metrics", app.at.ops);
        let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
        text.contains("cloakroom_alert_deliveries_total{outcome=\"given_up\"} 1")
            && text.contains("cloakroom_alerts_total{name=\"report_taken\",severity=\"page\"} 1")
    })
    .await;
}

#[tokio::test]
async fn an_alert_comes_by_mail_over_implicit_tls() {
    let post = Post::start("tls");
    let to = ",to=[\"ops@shop.example\"]";
    let app = start(&post.settings("tls", &post.authority(), to));
    let ticket = report(&app).await;
    eventually("there is mail", async || post.messages().len() == 1).await;
    let text = post.messages()[0]["text"].to_string();
    assert!(text.contains(&ticket), "{text}");
}

#[tokio::test]
async fn a_mail_server_without_tls_or_of_another_authority_is_told_nothing() {
    let plain = Post::start("plain");
    let stranger = Post::start("tls");
    let other = TempDir::new().unwrap();
    certificate(other.path(), "other");
    let to = ",to=[\"ops@shop.example\"]";
    for (post, settings) in [
        (&plain, plain.settings("starttls", &plain.authority(), to)),
        (
            &stranger,
            stranger.settings("tls", &other.path().join("other.pem"), to),
        ),
    ] {
        let app = start(&settings);
        report(&app).await;
        eventually("a try has failed", async || {
            let url = format!("{}/metrics", app.at.ops);
            let text = String::from_utf8(app.get(Who::Nobody, &url).await.body).unwrap();
            let failed = "cloakroom_alert_deliveries_total{outcome=\"failed\"} ";
            let line = text.lines().find_map(|line| line.strip_prefix(failed));
            line.is_some_and(|count| count != "0")
        })
        .await;
        assert_eq!(post.kept(), Vec::<Value>::new());
    }
}
