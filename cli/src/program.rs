//! A program that answers requests: it reads one on its standard input, and writes the reply.

use std::ffi::OsString;

use mqtt_wasi::{Message, Reply};

/// Runs a program with the request. It gets the topic and what the request says of itself in variables.
#[cfg(not(target_family = "wasm"))]
pub(crate) async fn answer(program: &[OsString], request: &Message) -> Reply {
    match run(program, request).await {
        Ok(reply) => reply,
        Err(error) => Reply::failed(format!("{}: {error}", program[0].display())),
    }
}

/// There are no programs to run.
#[cfg(target_family = "wasm")]
pub(crate) async fn answer(_: &[OsString], _: &Message) -> Reply {
    Reply::failed("this responder cannot run programs")
}

#[cfg(not(target_family = "wasm"))]
async fn run(program: &[OsString], request: &Message) -> std::io::Result<Reply> {
    use std::process::Stdio;

    use tokio::io::AsyncWriteExt as _;
    use tokio::process::Command;

    let mut child = Command::new(&program[0])
        .args(&program[1..])
        // Not as arguments: a request must not choose a program's options.
        .env("MQTT_TOPIC", &request.topic)
        .env("MQTT_CONTENT_TYPE", request.content_type.as_deref().unwrap_or_default())
        // It is our secret.
        .env_remove("MQTT_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let feeding = async {
        if let Some(mut stdin) = stdin {
            // A program need not read what it is asked.
            let _ = stdin.write_all(&request.payload).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feeding);
    let output = output?;
    if output.status.success() {
        return Ok(Reply::new(output.stdout));
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().replace('\0', "");
    let why = if why.is_empty() { output.status.to_string() } else { why };
    Ok(Reply::failed(why.chars().take(1000).collect::<String>()))
}
