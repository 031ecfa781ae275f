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

/// What browsers have sent to the site.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
}

type Inbox = Arc<Mutex<Vec<Posted>>>;

/// A running site.
pub(crate) struct Site {
    pub(crate) origin: String,
    files: Files,
    inbox: Inbox,
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
            host: None,
            clients: None,
        };
        let tls = tls::server(&tls::Live::read(live, Clock::system()).unwrap()).unwrap();
        let files = Files::default();
        let inbox = Inbox::default();
        let shared = (Arc::clone(&files), Arc::clone(&inbox));
        let server = HttpServer::new(move || {
            let files = web::Data::new(Arc::clone(&shared.0));
            let inbox = web::Data::new(Arc::clone(&shared.1));
            Routes::new()
                .app_data(files)
                .app_data(inbox)
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
            inbox,
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

    /// What browsers have sent since this was asked last.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        std::mem::take(&mut *self.inbox.lock().unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Takes the site off the network.
    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn answer(
    files: web::Data<Files>,
    inbox: web::Data<Inbox>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let file = files.lock().unwrap().get(request.path()).cloned();
    if file.is_none() && request.method() == actix_web::http::Method::POST {
        let kind = request.headers().get("content-type");
        inbox.lock().unwrap().push(Posted {
            path: request.uri().to_string(),
            kind: kind.map_or("", |kind| kind.to_str().unwrap()).to_owned(),
            body: body.to_vec(),
        });
        return HttpResponse::NoContent().finish();
    }
    if request.path() == "/favicon.ico" {
        return HttpResponse::NoContent().finish();
    }
    let Some(file) = file else {
        return HttpResponse::NotFound().finish();
    };
    let mut answer = HttpResponse::Ok();
    answer.content_type(file.kind);
    for header in file.headers {
        answer.insert_header(header);
    }
    answer.body(file.text)
}
