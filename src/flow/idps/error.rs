//! Why an IdP's metadata is not taken. The texts name the key and the mend; they are for the log, the audit
//! and admins, never for a stranger.

use std::path::PathBuf;

use thiserror::Error;

use crate::model::IdpName;
use crate::saml::KeyError;
use crate::saml::metadata::MetadataError;
use crate::saml::metadata_url::MetadataFetchError;

/// An IdP's metadata that cannot be used.
#[derive(Debug, Error)]
pub enum IdpError {
    /// The file cannot be read.
    #[error("{}: saml.idp.{idp}.metadata_file cannot be read ({problem}); save the IdP's metadata there", .file.display())]
    Unreadable {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The file is no usable metadata.
    #[error("{}: saml.idp.{idp}.metadata_file: {problem}", .file.display())]
    BadFile {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: MetadataError,
    },
    /// The URL gave no usable metadata.
    #[error("saml.idp.{idp}.metadata_url: what {url} answers {problem}")]
    BadAnswer {
        /// The IdP.
        idp: IdpName,
        /// The URL.
        url: String,
        /// What is wrong with its answer.
        problem: MetadataError,
    },
    /// The URL gave nothing.
    #[error("saml.idp.{idp}.metadata_url: {url} {problem}")]
    NoAnswer {
        /// The IdP.
        idp: IdpName,
        /// The URL.
        url: String,
        /// Why.
        problem: MetadataFetchError,
    },
    /// The URL gave metadata whose time is over: an old document, played again perhaps.
    #[error(
        "saml.idp.{idp}.metadata_url: what {url} answers was valid until {until}; ask whoever serves it for the current metadata"
    )]
    Outdated {
        /// The IdP.
        idp: IdpName,
        /// The URL.
        url: String,
        /// Its `validUntil`.
        until: String,
    },
    /// The URL gave metadata of another provider than before.
    #[error(
        "saml.idp.{idp}.metadata_url: what {url} answers has the entityID {found:?}, it was {before:?}; the metadata in force is kept. If that is right, give the IdP another name in the configuration, or save this document and name it with metadata_file; else ask whoever serves the URL"
    )]
    EntityChanged {
        /// The IdP.
        idp: IdpName,
        /// The URL.
        url: String,
        /// The entityID now.
        found: String,
        /// The entityID before.
        before: String,
    },
    /// The certificate that should verify metadata cannot be read.
    #[error("{}: saml.idp.{idp}.metadata_certificate_file cannot be read ({problem}); put the certificate there", .file.display())]
    NoSigner {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The certificate that should verify metadata cannot be used.
    #[error("{}: saml.idp.{idp}.metadata_certificate_file {problem}", .file.display())]
    BadSigner {
        /// The IdP.
        idp: IdpName,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// Two IdPs with one entity id: their keys would mix.
    #[error("saml.idp.{0} and saml.idp.{1} have the same entityID in their metadata; remove one")]
    SameIssuer(IdpName, IdpName),
}
