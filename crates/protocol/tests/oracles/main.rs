//! The formats against judges that share no code with them: other libraries, published vectors, golden files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types)]

mod cose;
mod cosignatures;
mod data;
mod disclosure;
mod every_receipt;
mod finality;
mod fixtures;
mod forged_receipt;
mod golden_vectors;
mod hand_over;
mod merkle_vectors;
mod recovery;
mod second_encoding;
mod signature_vectors;
mod state_proof;
