//! Generation on a list of clips with provenance.
