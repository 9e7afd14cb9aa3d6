//! Black-box tests: they use the real binary over HTTP and websockets, and run real programs.

// The attack suite uses the rest.
#[allow(dead_code)]
mod common;

mod architecture;
mod assets;
mod audit;
mod canvas;
mod catalogue;
mod checks;
mod cli;
mod compiled;
mod containers;
mod docs;
mod doctor;
mod doctor_url;
mod errors;
mod guesses;
mod guests;
mod health;
mod idle;
mod images;
mod jwt;
mod languages;
mod layouts;
mod leftovers;
mod limits;
mod liveness;
mod local_user;
mod logs;
mod messages;
mod metrics;
mod modules;
mod openapi;
mod order;
mod packaging;
mod proxies;
mod quotas;
mod races;
mod roles;
mod routes;
mod runtimes;
mod sandbox;
mod sessions;
mod settings;
mod shares;
mod strangers;
mod stream;
mod turtle;
mod unix_socket;
mod users;
mod v01;
mod warm;
