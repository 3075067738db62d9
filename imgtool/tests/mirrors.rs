//! What mirrors get to know of us.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http_server;
mod image_builder;

use http_server::{Request, Server, answer};
use image_builder::windlass_img;

/// A registry that has nothing, and wants to know who asks.
fn curious() -> Server {
    Server::start(|request| match request.header("authorization") {
        None => answer(401, "{}").with("www-authenticate", "Basic realm=\"x\""),
        Some(_) => answer(404, "{}"),
    })
}

fn proofs(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let proof = |request: &Request| request.header("authorization").map(str::to_owned);
    requests.iter().filter_map(proof).collect()
}

#[test]
fn mirrors_do_not_get_the_registrys_credentials() {
    let home = tempfile::Builder::new()
        .prefix("img-mirrors-")
        .tempdir()
        .unwrap();
    let conf = home.path().join("registries.conf");
    for (option, secret) in [
        (["--creds", "me:secret"], "Basic bWU6c2VjcmV0"),
        (["--registry-token", "secret"], "Bearer secret"),
    ] {
        let (own, mirror) = (curious(), curious());
        let rules = format!(
            "[[registry]]\nprefix = \"hub.invalid\"\nlocation = \"{}\"\ninsecure = true\n\
             [[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
            own.address, mirror.address
        );
        std::fs::write(&conf, rules).unwrap();
        let output = windlass_img()
            .current_dir(home.path())
            .env("HOME", home.path())
            .env("REGISTRY_AUTH_FILE", home.path().join("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", &conf)
            .args(["pull", "--store", "store", "--retry-times", "0"])
            .args(option)
            .arg("hub.invalid/app:1")
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(mirror.count("GET", "/manifests/1") > 0);
        assert_eq!(proofs(&mirror), Vec::<String>::new());
        // Where registries.conf says that the name itself leads is the registry that they are for.
        assert!(
            proofs(&own).contains(&secret.to_owned()),
            "{:?}",
            proofs(&own)
        );
    }
}
