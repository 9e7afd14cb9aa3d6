//! Runs a real sandbox on this machine, from its start to its end.

fn main() {
    let staging = tempfile::tempdir().expect("a temporary folder");
    let host = livecode_sandbox::Host::new(staging.path().to_owned(), 0x7e57);
    println!("degraded: {:?}", host.unenforced());
    let ended = livecode_sandbox::try_sandbox(&host);
    if let Err(error) = ended {
        panic!("{error}: {:?}", std::error::Error::source(&error));
    }
    println!("1 passed, 0 failed");
}
