//! A shop's site for one test: pages at paths, served over TLS on an origin of their own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App as Routes, HttpRequest, HttpResponse, HttpServer, web};
use cloakroom::clock::Clock;
use cloakroom::http::tls;

use crate::support::App;

/// A file of the site: its media type, its Content-Security-Policy, its text.
#[derive(Clone, Debug)]
pub(crate) struct File {
    kind: &'static str,
    headers: Vec<(&'static str, String)>,
    text: String,
}

type Files = Arc<Mutex<BTreeMap<String, File>>>;

/// A running site.
pub(crate) struct Site {
    pub(crate) origin: String,
    files: Files,
    server: ServerHandle,
}

impl Site {
    /// Starts one with the app's certificate.
    pub(crate) fn start(app: &App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let live = tls::Files {
            certificate: app.path("server.pem"),
            private_key: app.path("server.key"),
            clients: None,
        };
        let tls = tls::server(&tls::Live::read(live, Clock::system()).unwrap()).unwrap();
        let files = Files::default();
        let shared = Arc::clone(&files);
        let server = HttpServer::new(move || {
            let files = web::Data::new(Arc::clone(&shared));
            Routes::new()
                .app_data(files)
                .default_service(web::to(answer))
        })
        .workers(1)
        .disable_signals()
        .listen_rustls_0_23(listener, tls)
        .unwrap()
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            origin,
            files,
            server: handle,
        }
    }

    /// Puts a file at a path.
    pub(crate) fn put(
        &self,
        path: &str,
        kind: &'static str,
        headers: &[(&'static str, &str)],
        text: &str,
    ) {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let file = File {
            kind,
            headers,
            text: text.to_owned(),
        };
        self.files.lock().unwrap().insert(path.to_owned(), file);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Takes the site off the network.
    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn answer(files: web::Data<Files>, request: HttpRequest) -> HttpResponse {
    if request.path() == "/favicon.ico" {
        return HttpResponse::NoContent().finish();
    }
    let Some(file) = files.lock().unwrap().get(request.path()).cloned() else {
        return HttpResponse::NotFound().finish();
    };
    let mut answer = HttpResponse::Ok();
    answer.content_type(file.kind);
    for header in file.headers {
        answer.insert_header(header);
    }
    answer.body(file.text)
}
