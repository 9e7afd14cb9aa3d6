use super::*;

fn json(message: &ServerMessage<'_>) -> String {
    serde_json::to_string(message).unwrap()
}

#[test]
fn messages_of_v0_1_are_unchanged_to_the_letter() {
    assert_eq!(
        json(&ServerMessage::Welcome { message: WELCOME }),
        r#"{"msgtype":"welcome","message":"welcome to livecode"}"#
    );
    assert_eq!(json(&ServerMessage::Pong), r#"{"msgtype":"pong"}"#);
    let write = ServerMessage::Write {
        file: Output::Stdout,
        data: "hello, world!\n".into(),
        encoding: None,
        stage: None,
        seq: None,
    };
    assert_eq!(json(&write), r#"{"msgtype":"write","file":"stdout","data":"hello, world!\n"}"#);
    let exit = ServerMessage::Exitstatus { exitstatus: 0, reason: None, seq: None };
    assert_eq!(json(&exit), r#"{"msgtype":"exitstatus","exitstatus":0}"#);
}

#[test]
fn an_error_has_the_documented_form() {
    let text = r#"{"msgtype":"qiut"}"#;
    let wrong = ClientMessage::parse(text).unwrap_err();
    let message = |code| json(&ServerMessage::Error { error: wrong.error.clone(), msg: echo(text), code });
    assert_eq!(
        message(None),
        r#"{"msgtype":"error","error":"Unknown message type: qiut","msg":{"msgtype":"qiut"}}"#
    );
    assert_eq!(
        message(Some(wrong.code)),
        r#"{"msgtype":"error","error":"Unknown message type: qiut","msg":{"msgtype":"qiut"},"code":"unknown_message_type"}"#
    );
}

#[test]
fn messages_of_clients_are_parsed() {
    let parse = |text| ClientMessage::parse(text).unwrap();
    assert_eq!(parse(r#"{"msgtype":"ping"}"#), ClientMessage::Ping);
    assert_eq!(
        parse(r#"{"msgtype":"input","data":"a","eof":true,"id":7}"#),
        ClientMessage::Deliver {
            id: Some(7.into()),
            item: ClientDelivery::Input { data: Contents::Text("a".into()), eof: true }
        }
    );
    assert_eq!(
        parse(r#"{"msgtype":"signal","signal":"interrupt","id":null}"#),
        ClientMessage::Deliver { id: None, item: ClientDelivery::Signal(Signal::Interrupt) }
    );
}

#[test]
fn an_error_names_the_wrong_field() {
    use ErrorCode::{InvalidMessage, MalformedMessage, UnknownMessageType};
    for (text, word, code) in [
        ("nonsense", "JSON", MalformedMessage),
        ("[]", "object", MalformedMessage),
        ("{}", "msgtype", MalformedMessage),
        (r#"{"msgtype":1}"#, "msgtype", MalformedMessage),
        (r#"{"msgtype":"qiut"}"#, "qiut", UnknownMessageType),
        (r#"{"msgtype":"input"}"#, "data", InvalidMessage),
        (r#"{"msgtype":"input","data":1}"#, "data", InvalidMessage),
        (r#"{"msgtype":"signal","signal":"hup"}"#, "interrupt", InvalidMessage),
        (r#"{"msgtype":"event","event":1}"#, "event", InvalidMessage),
        (r#"{"msgtype":"input","data":"x","id":[1]}"#, "id", InvalidMessage),
        (r#"{"msgtype":"input","data":"%","encoding":"base64"}"#, "base64", InvalidMessage),
        (r#"{"msgtype":"input","data":"x","encoding":"hex"}"#, "encoding", InvalidMessage),
    ] {
        let wrong = ClientMessage::parse(text).unwrap_err();
        assert!(wrong.error.contains(word), "{text}: {}", wrong.error);
        assert_eq!(wrong.code, code, "{text}");
    }
}

#[test]
fn an_event_is_passed_on_as_it_came_on_one_line() {
    let text =
        "{\"msgtype\":\"event\",\"event\":\"x\",\n\"data\":[1.50,\r\n{\"a\":\"\\n\"}],\"data\":[2,\n3]}";
    let Ok(ClientMessage::Deliver { item: ClientDelivery::Event { event, data }, .. }) =
        ClientMessage::parse(text)
    else {
        panic!("{text}")
    };
    assert_eq!(event_line(event, data), r#"{"msgtype":"event","event":"x","data":[2,3]}"#);
    let line = event_line("\"x\"", "[1.50,\r\n{\"a\":\"\\n\"}]");
    assert_eq!(line, r#"{"msgtype":"event","event":"x","data":[1.50,{"a":"\n"}]}"#);
}

#[test]
fn an_error_repeats_what_is_not_json_as_a_string() {
    assert_eq!(echo("{\"a\": [1]}").get(), "{\"a\":[1]}");
    assert_eq!(echo("no \"json\"").get(), r#""no \"json\"""#);
    assert_eq!(echo(&"[".repeat(1000)).get().len(), 1002);
}

/// A client recognises its answer by the id, so the id must come back as the same number.
/// Pages use `Math.random()` as an id.
#[test]
fn an_id_is_kept_exactly_or_refused() {
    let parse = |id: &str| {
        let text = format!(r#"{{"msgtype":"input","data":"a","id":{id}}}"#);
        match ClientMessage::parse(&text) {
            Ok(ClientMessage::Deliver { id, .. }) => Ok(id),
            Ok(other) => panic!("{other:?}"),
            Err(ClientMessageError { error, .. }) => Err(error),
        }
    };
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..10_000 {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let id = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let Ok(Some(read)) = parse(&id.to_string()) else { panic!("{id}") };
        assert_eq!(read.to_string().parse(), Ok(id));
    }
    for id in ["0", "-9223372036854775808", "18446744073709551615", "9007199254740992.0"] {
        assert!(parse(id).is_ok(), "{id}");
    }
    // Each of these would be read as the same number as its neighbours.
    for id in ["18446744073709551616", "-9223372036854775809", "1e300", "9007199254740993.0e1"] {
        assert!(parse(id).unwrap_err().contains("\"id\""), "{id}");
    }
}
