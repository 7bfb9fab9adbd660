//! What a browser gets: pages for errors, and the way to the documentation.

use reqwest::Method;
use reqwest::redirect::Policy;

use crate::support::client::{Reply, send};
use crate::support::{Database, Server};

/// What browsers send when they go to a page.
const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn visit(server: &Server, path: &str) -> Reply {
    let request = server.client().request(Method::GET, path);
    send(request.header("Accept", ACCEPT)).await
}

#[tokio::test]
async fn case_35_a_browser_gets_errors_as_pages() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for (path, status, said) in [
        ("/billables/x", 404, "not found"),
        ("/nope", 404, "All operations"),
        (
            "/billables?from=yesterday",
            400,
            "from must be an RFC 3339 timestamp",
        ),
        ("/billing", 400, "startDate must be a date"),
    ] {
        let page = visit(&server, path).await;
        assert_eq!(page.status, status, "{page:?}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.header("content-security-policy").is_some());
        assert!(page.body.contains(said), "{page:?}");
    }
    let bare = server.client().bare(Method::GET, "/billables");
    let page = send(bare.header("Accept", ACCEPT)).await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("a valid token is required"), "{page:?}");
    // What a client sends is shown as text.
    let page = visit(&server, "/json/metadata?op=%3Cscript%3E").await;
    assert!(page.body.contains("&lt;script&gt;") && !page.body.contains("no operation <script>"));
    // Only a browser's GET: other requests get the negotiated format.
    let report = server.client().post("/billables").header("Accept", ACCEPT);
    let reply = send(report.body("{").header("Content-Type", "application/json")).await;
    assert_eq!(
        (reply.status, reply.error_code()),
        (400, "SerializationException".to_owned())
    );
    assert_eq!(reply.header("content-type"), Some("application/xml"));
    let reply = server.client().get("/billables/x").await;
    assert_eq!(reply.error_code(), "NotFound");
}

#[tokio::test]
async fn case_33_an_error_is_not_saved_as_a_file_of_rows() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for path in [
        "/billing.csv",
        "/billables?format=csv&from=x",
        "/log.csv?after=x",
    ] {
        let reply = server.client().get(path).await;
        assert!(reply.status >= 400, "{reply:?}");
        assert_eq!(reply.header("content-disposition"), None, "{path}");
        let page = visit(&server, path).await;
        assert_eq!(page.status, reply.status);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
    let rows = server.client().get("/billables.csv").await;
    assert_eq!(
        rows.header("content-disposition"),
        Some("attachment; filename=\"billables.csv\"")
    );
}

#[tokio::test]
async fn case_35_other_addresses_of_a_documentation_lead_to_the_manual() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let http = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap();
    for path in ["/ui", "/swagger", "/swagger-ui/", "/Swagger"] {
        let url = format!("http://{}{path}", server.address());
        let reply = http.get(url).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), 307, "{path}");
        assert_eq!(reply.headers()["location"], "/docs");
    }
    let manual = visit(&server, "/docs").await;
    assert_eq!(manual.status, 200);
}
