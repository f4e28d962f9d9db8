//! Receivers over https with certificates good and bad.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::post;
use super::super::tests::message;
use super::*;

/// An authority of a company.
struct Authority {
    key: KeyPair,
    certificate: rcgen::Certificate,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let (key, folder) = (KeyPair::generate().unwrap(), tempfile::tempdir().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        Self {
            key,
            certificate,
            _folder: folder,
            file,
        }
    }

    /// A receiver at 127.0.0.1 whose certificate is for `name` until `year`; answers one message with 204 and
    /// returns it, or nothing when the sender hangs up first.
    fn receiver(&self, name: &str, year: i32) -> (String, JoinHandle<Option<String>>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/hook", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.contains("\"}") {
                let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .unwrap();
            Some(text)
        });
        (url, served)
    }

    fn trusted(&self) -> Arc<Authorities> {
        Arc::new(Authorities::with_file(&self.file).unwrap())
    }
}

#[tokio::test]
async fn a_company_s_own_authority_is_trusted_when_it_is_named() {
    let company = Authority::new();
    let (url, served) = company.receiver("127.0.0.1", 4000);
    assert_eq!(post(message(url, true), company.trusted()).await, Ok(()));
    let text = served.join().unwrap().unwrap();
    assert!(text.starts_with("POST /hook") && text.ends_with(r#"{"kind":"issue"}"#));
}

#[tokio::test]
async fn certificates_that_are_not_right_end_the_connection_before_anything_is_sent() {
    let (company, other) = (Authority::new(), Authority::new());
    for (authorities, name, year, words) in [
        (Arc::default(), "127.0.0.1", 4000, "--webhook-ca"),
        (
            other.trusted(),
            "127.0.0.1",
            4000,
            "no authority that this node trusts",
        ),
        (company.trusted(), "elsewhere.example.org", 4000, "another name"),
        (company.trusted(), "127.0.0.1", 2001, "has expired"),
    ] {
        let (url, served) = company.receiver(name, year);
        let error = post(message(url, true), authorities).await.unwrap_err();
        assert!(
            error.contains("certificate is refused") && error.contains(words),
            "{error}"
        );
        assert_eq!(served.join().unwrap(), None, "{name} {year}");
    }
}

#[test]
fn a_file_that_holds_no_authority_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refused = || Authorities::with_file(&path).unwrap_err().to_string();
    assert!(refused().contains("ca.pem: cannot read"));
    for (content, words) in [
        ("", "holds no certificate"),
        ("hello", "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\naGFsbG8=\n-----END CERTIFICATE-----\n",
            "certificate 1 cannot be used",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
            "ca.pem: ",
        ),
        ("-----BEGIN CERTIFICATE-----\naGFsbG8=\n", "ca.pem: "),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = refused();
        assert!(
            error.contains(words) && error.contains("BEGIN CERTIFICATE"),
            "{content}: {error}"
        );
    }
    std::fs::write(&path, vec![b'-'; (1 << 20) + 1]).unwrap();
    assert!(refused().contains("1048577 bytes"));
}
