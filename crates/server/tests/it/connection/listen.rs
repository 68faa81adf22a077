//! Binding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyperion_vault_server::config::{HostPort, Listen};
use hyperion_vault_server::http::listen::bind;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_port_in_use_is_said_to_be() {
    let listen = |port| Listen::Address(HostPort { host: "127.0.0.1".into(), port });
    let first = bind(&listen(0)).await.unwrap();
    let port = first.local_addr().unwrap().port();
    assert_eq!(
        bind(&listen(port)).await.unwrap_err().to_string(),
        format!("can't listen on 127.0.0.1:{port}: the port is in use by another process")
    );
}

#[tokio::test]
async fn a_port_in_use_is_said_to_be_on_every_interface_too() {
    let first = bind(&Listen::EveryInterface { port: 0 }).await.unwrap();
    let port = first.local_addr().unwrap().port();
    let error = bind(&Listen::EveryInterface { port }).await.unwrap_err();
    assert!(error.to_string().ends_with("the port is in use by another process"), "{error}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_said_to_be() {
    // TEST-NET-1 (RFC 5737) is nobody's.
    let listen = Listen::Address(HostPort { host: "192.0.2.1".into(), port: 0 });
    assert_eq!(
        bind(&listen).await.unwrap_err().to_string(),
        "can't listen on 192.0.2.1:0: no interface of this machine has that address"
    );
}

#[tokio::test]
async fn every_interface_takes_ipv4_and_where_there_is_ipv6_that_too() {
    let listener = bind(&Listen::EveryInterface { port: 0 }).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut loopbacks = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if address.is_ipv6() {
        loopbacks.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    for loopback in loopbacks {
        TcpStream::connect((loopback, address.port())).await.unwrap();
    }
}
