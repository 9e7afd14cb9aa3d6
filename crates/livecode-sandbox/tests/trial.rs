//! Makes a real sandbox on this machine, runs a program in it and ends it.

fn main() {
    let staging = tempfile::tempdir().expect("a temporary folder");
    let host = livecode_sandbox::Host::new(staging.path().to_owned(), 0x7e57);
    println!("degraded: {:?}", host.degraded());
    if let Err(error) = host.try_sandbox() {
        panic!("{error}: {:?}", std::error::Error::source(&error));
    }
    println!("1 passed, 0 failed");
}
