//! Test the whole of it: the journey, the map, the golden vectors.
//!
//! This library holds what those tests read with: Markdown as its author meant it, the workspace as it stands on disk, and a reader who does
//! what a document says.

pub mod absent;
pub mod markdown;
pub mod sandbox;
pub mod source;
pub mod walk;
pub mod workspace;
