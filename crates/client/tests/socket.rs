//! The blocking client against small servers of the tests' own, on loopback.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use client::{Client, ClientError, Event, Login, Options, Session, Target};
use presence::hello::{Credentials, IdentityKind, ResumeToken, Secret};
use presence::ids::SessionId;
use presence::report::ReportChange;
use protocol::message::{ClientMessage, ServerMessage};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

const WAIT_MAX: Duration = Duration::from_secs(10);

type Socket = WebSocket<TcpStream>;

/// A server that plays one script per connection, in order.
fn serve(scripts: Vec<fn(&mut Socket)>) -> (Target, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
            script(&mut tungstenite::accept_hdr(stream, name_subprotocol).unwrap());
        }
    });
    (Target::parse(&format!("ws://{address}/ws")).unwrap(), server)
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn name_subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let name = HeaderValue::from_static("rollcall.v1.json");
    response.headers_mut().insert("sec-websocket-protocol", name);
    Ok(response)
}

fn login() -> Login {
    let credentials = Credentials {
        kind: IdentityKind::Dev,
        token: Some(Secret::new("ada")),
        name: None,
        guest: None,
    };
    Login { credentials, report: ReportChange::default() }
}

fn hello() -> ClientMessage {
    let login = login();
    ClientMessage::Hello(presence::hello::Hello {
        credentials: Some(login.credentials),
        ..presence::hello::Hello::default()
    })
}

fn read(socket: &mut Socket) -> String {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).unwrap();
}

fn welcome(socket: &mut Socket, resumed: bool) {
    let token = ResumeToken { partition: 1, session: SessionId([1; 16]), secret: [2; 32] };
    let resume = protocol::token::format_resume(&token);
    let session = SessionId([1; 16]);
    say(
        socket,
        &format!(
            r#"{{"t":"welcome","id":"dev_ada","name":"ada","session":"{session}","resume":"{resume}","resumed":{resumed},"hb":10,"ping":30,"window":60}}"#
        ),
    );
}

fn close(socket: &mut Socket, code: u16) {
    let reason = "as the test says".into();
    let frame = tungstenite::protocol::CloseFrame { code: code.into(), reason };
    socket.close(Some(frame)).unwrap();
    while socket.read().is_ok() {}
}

/// The session's next event, the messages apart that carry no news here.
fn event(session: &mut Session) -> Event {
    session.next(WAIT_MAX).expect("something happens in time")
}

#[test]
fn a_ping_is_answered_and_a_close_code_is_told() {
    let (target, server) = serve(vec![|socket| {
        assert!(read(socket).contains(r#""t":"hello""#));
        welcome(socket, false);
        say(socket, r#"{"t":"ping"}"#);
        assert_eq!(read(socket), r#"{"t":"pong"}"#);
        close(socket, 4201);
    }]);
    let mut client = Client::connect(&Options::new(target, hello())).unwrap();
    let id = client.wait_for(WAIT_MAX, |message| match message {
        ServerMessage::Welcome(welcome) => Some(welcome.id.to_string()),
        _ => None,
    });
    assert_eq!(id.unwrap().as_deref(), Some("dev_ada"));
    let ended = client.wait_for(WAIT_MAX, |_| None::<()>).unwrap_err();
    assert_eq!(ended.close_code(), Some(4201));
    server.join().unwrap();
}

#[test]
fn a_wait_ends_in_time_when_nothing_comes() {
    let (target, server) = serve(vec![|socket| {
        read(socket);
        assert_eq!(read(socket), r#"{"t":"bye"}"#);
    }]);
    let mut client = Client::connect(&Options::new(target, hello())).unwrap();
    assert_eq!(client.next(Duration::from_millis(20)).unwrap(), None);
    client.send(&ClientMessage::Bye { after: None }).unwrap();
    server.join().unwrap();
}

#[test]
fn a_message_of_a_kind_that_nobody_knows_is_passed_over() {
    let (target, server) = serve(vec![|socket| {
        say(socket, r#"{"t":"tomorrow","x":1}"#);
        say(socket, r#"{"t":"fresh"}"#);
        read(socket);
    }]);
    let options = Options { hello: None, ..Options::new(target, hello()) };
    let mut client = Client::connect(&options).unwrap();
    let received = client.next(WAIT_MAX).unwrap().unwrap();
    assert_eq!(received.text(), r#"{"t":"fresh"}"#);
    client.send(&ClientMessage::Heartbeat).unwrap();
    server.join().unwrap();
}

#[test]
fn nobody_there_and_no_websocket_there_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("ws://{}/ws", listener.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        let answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
    });
    match Client::connect(&Options::new(target.clone(), hello())).unwrap_err() {
        ClientError::Refused { status: 503, retry_after, .. } => {
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        other => panic!("{other:?}"),
    }
    server.join().unwrap();
    // The listener is gone with its thread.
    let error = Client::connect(&Options::new(target, hello())).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("--url"), "{error}");
}

#[test]
fn a_session_that_loses_its_socket_resumes_without_its_login_token() {
    let (target, server) = serve(vec![
        |socket| {
            assert!(read(socket).contains(r#""token":"ada""#));
            welcome(socket, false);
            // Dropped: no close frame.
        },
        |socket| {
            let hello = read(socket);
            assert!(hello.contains(r#""resume":"#) && !hello.contains("ada"), "{hello}");
            welcome(socket, true);
            assert!(read(socket).contains(r#""s":"coding""#));
            assert_eq!(read(socket), r#"{"t":"bye"}"#);
        },
    ]);
    let mut session = Session::new(target, login());
    assert!(matches!(event(&mut session), Event::Connected));
    assert!(matches!(event(&mut session), Event::Message(_)));
    assert!(matches!(event(&mut session), Event::Disconnected { .. }));
    assert!(matches!(event(&mut session), Event::Connected));
    assert!(matches!(event(&mut session), Event::Message(_)));
    session.report(ReportChange::parse(Some("coding"), None, None).unwrap());
    session.goodbye();
    server.join().unwrap();
}

#[test]
fn a_failed_resume_is_followed_by_a_login_on_the_same_socket() {
    let (target, server) = serve(vec![
        |socket| {
            read(socket);
            welcome(socket, false);
        },
        |socket| {
            assert!(read(socket).contains("resume"));
            say(socket, r#"{"t":"err","code":"resume_failed","msg":"too late"}"#);
            assert!(read(socket).contains(r#""token":"ada""#));
            welcome(socket, false);
            close(socket, 1000);
        },
    ]);
    let mut session = Session::new(target, login());
    let mut welcomes = 0;
    loop {
        match event(&mut session) {
            Event::Message(received) => {
                welcomes += usize::from(matches!(received.message(), ServerMessage::Welcome(_)));
            }
            Event::Ended { .. } => break,
            _ => {}
        }
    }
    assert_eq!(welcomes, 2);
    server.join().unwrap();
}

#[test]
fn a_replaced_session_never_comes_back_by_itself() {
    let (target, server) = serve(vec![|socket| {
        read(socket);
        welcome(socket, false);
        close(socket, 4201);
    }]);
    let mut session = Session::new(target, login());
    let ended = std::iter::from_fn(|| Some(event(&mut session)))
        .find(|event| matches!(event, Event::Ended { .. } | Event::Disconnected { .. }));
    assert!(matches!(ended, Some(Event::Ended { .. })), "{ended:?}");
    assert!(session.next(Duration::from_millis(10)).is_none());
    server.join().unwrap();
}

#[test]
fn a_refused_login_says_why() {
    let (target, server) = serve(vec![|socket| {
        read(socket);
        say(socket, r#"{"t":"err","code":"unauthorized","msg":"start it with --dev"}"#);
        close(socket, 4200);
    }]);
    let mut session = Session::new(target, login());
    let why = loop {
        if let Event::Ended { why } = event(&mut session) {
            break why;
        }
    };
    assert!(why.contains("--dev"), "{why}");
    server.join().unwrap();
}

#[test]
fn go_moves_a_session_to_a_new_socket_after_the_delay() {
    let (target, server) = serve(vec![
        |socket| {
            read(socket);
            welcome(socket, false);
            say(socket, r#"{"t":"go","after":5}"#);
            match socket.read().unwrap() {
                Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
                other => panic!("{other:?}"),
            }
            while socket.read().is_ok() {}
        },
        |socket| {
            assert!(read(socket).contains("resume"));
            welcome(socket, true);
            close(socket, 1000);
        },
    ]);
    let mut session = Session::new(target, login());
    let mut moved = false;
    loop {
        match event(&mut session) {
            Event::Moving => moved = true,
            Event::Ended { .. } => break,
            Event::Disconnected { why, .. } => panic!("{why}"),
            _ => {}
        }
    }
    assert!(moved);
    server.join().unwrap();
}
