//! XML as the judges read and write it: a small tree of names and text.
//!
//! Trusts quick-xml to be strict about nesting, names and duplicate attributes. Never takes a DTD or an
//! entity beyond XML's five, and never opens anything that a document names.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};
use quick_xml::reader::NsReader;
use thiserror::Error;

pub(super) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub(super) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub(super) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
pub(super) const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Deeper than any SAML message, and shallow enough to drop without a stack overflow.
const MAX_DEPTH: usize = 64;

/// Why a text is no XML for us.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum XmlError {
    #[error("is not well-formed XML: {0}")]
    Malformed(String),
    #[error("has a DOCTYPE")]
    Doctype,
    #[error("has the undefined entity {0}")]
    Entity(String),
    #[error("has a prefix without a namespace")]
    Prefix,
    #[error("is nested deeper than {MAX_DEPTH} elements")]
    Deep,
    #[error("has no root element, or text or elements beside it")]
    Root,
}

fn malformed(error: impl std::fmt::Display) -> XmlError {
    XmlError::Malformed(error.to_string())
}

/// An element with what is in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Empty where it has none.
    pub(super) namespace: String,
    /// The local name.
    pub(super) name: String,
    /// Namespace (empty for none), local name, value.
    attributes: Vec<(String, String, String)>,
    pub(super) children: Vec<Element>,
    /// The text directly within, put together.
    pub(super) text: String,
}

impl Element {
    /// Whether this is the element `name` of `namespace`.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The value of the attribute `name` that has no namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(namespace, known, _)| namespace.is_empty() && known == name)
            .map(|(_, _, value)| value.as_str())
    }

    /// The values of attributes named `ID`, in whatever namespace.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(|(_, name, _)| name == "ID")
            .map(|(_, _, value)| value.as_str())
    }

    /// The children that are `name` of `namespace`.
    pub(super) fn children<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Element> {
        let wanted = move |child: &&Element| child.is(namespace, name);
        self.children.iter().filter(wanted)
    }

    /// The child `name` of `namespace`, if there is exactly one.
    pub(super) fn only(&self, namespace: &str, name: &str) -> Option<&Element> {
        let wanted = |child: &&Element| child.is(namespace, name);
        let mut found = self.children.iter().filter(wanted);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// This element and all within, in document order.
    pub(super) fn all(&self) -> Vec<&Element> {
        let mut found = vec![self];
        for child in &self.children {
            found.extend(child.all());
        }
        found
    }
}

/// Reads `document`. Comments and processing instructions are left out.
pub(super) fn parse(document: &str) -> Result<Element, XmlError> {
    let mut reader = NsReader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    // The first stands for the document itself.
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(malformed)?;
        match event {
            Event::Start(start) if open.len() <= MAX_DEPTH => {
                open.push(element(&start, reader.resolver())?);
            }
            Event::Start(_) => return Err(XmlError::Deep),
            Event::End(_) => close(&mut open)?,
            Event::Text(text) => add(&mut open, &text.xml10_content().map_err(malformed)?),
            Event::CData(text) => add(&mut open, &text.decode().map_err(malformed)?),
            Event::GeneralRef(reference) => add(&mut open, &resolve(&reference)?),
            Event::DocType(_) => return Err(XmlError::Doctype),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    root(open)
}

fn root(mut open: Vec<Element>) -> Result<Element, XmlError> {
    let mut document = open.pop().ok_or(XmlError::Root)?;
    let root = document.children.pop().ok_or(XmlError::Root)?;
    let alone = document.children.is_empty() && document.text.trim().is_empty();
    if open.is_empty() && alone {
        Ok(root)
    } else {
        Err(XmlError::Root)
    }
}

fn close(open: &mut Vec<Element>) -> Result<(), XmlError> {
    let closed = open.pop().ok_or(XmlError::Root)?;
    let parent = open.last_mut().ok_or(XmlError::Root)?;
    parent.children.push(closed);
    Ok(())
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlError> {
    if let Some(character) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(malformed)?;
    let known = resolve_predefined_entity(&name).map(str::to_owned);
    known.ok_or_else(|| XmlError::Entity(name.into_owned()))
}

fn element(start: &BytesStart<'_>, resolver: &NamespaceResolver) -> Result<Element, XmlError> {
    let (namespace, name) = resolver.resolve_element(start.name());
    let mut read = Element {
        namespace: bound(&namespace)?,
        name: text(name.as_ref())?,
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(malformed)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (namespace, name) = resolver.resolve_attribute(attribute.key);
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        read.attributes.push((
            bound(&namespace)?,
            text(name.as_ref())?,
            value.map_err(malformed)?.into_owned(),
        ));
    }
    Ok(read)
}

fn bound(namespace: &ResolveResult<'_>) -> Result<String, XmlError> {
    match namespace {
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Bound(namespace) => text(namespace.as_ref()),
        ResolveResult::Unknown(_) => Err(XmlError::Prefix),
    }
}

fn text(bytes: &[u8]) -> Result<String, XmlError> {
    String::from_utf8(bytes.to_vec()).map_err(malformed)
}

/// `text` for HTML, and for XML that nobody signs: in text and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// `text` between tags as Canonical XML 1.0, section 2.3, writes it.
pub(super) fn canonical_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\r', "&#xD;")
}

/// `text` in an attribute as Canonical XML 1.0, section 2.3, writes it.
pub(super) fn canonical_value(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
        .replace('\t', "&#x9;")
        .replace('\n', "&#xA;")
        .replace('\r', "&#xD;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_by_namespace_and_text_is_put_together() {
        let read = parse(
            "<?xml version=\"1.0\"?>\n<p:a xmlns:p=\"urn:p\" xmlns=\"urn:d\" x=\"1 &amp; 2\" p:x=\"3\">\
             one<b/> &lt;two&#33;<q:b xmlns:q=\"urn:q\"/></p:a>\n",
        )
        .unwrap();
        assert!(read.is("urn:p", "a"));
        assert_eq!(read.attribute("x"), Some("1 & 2"));
        assert_eq!(read.text, "one <two!");
        assert!(read.only("urn:d", "b").is_some() && read.only("urn:q", "b").is_some());
        assert_eq!(read.all().len(), 3);
    }

    #[test]
    fn what_is_no_plain_xml_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<a x='1' x='2'/>",
            "<p:a/>",
            "<a>&other;</a>",
            "<!DOCTYPE a><a/>",
            &deep,
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let shallow = format!("{}{}", "<a>".repeat(64), "</a>".repeat(64));
        assert!(parse(&shallow).is_ok());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let hostile = "a<b>&\"'\t\n\r]]>é";
        let (value, between) = (canonical_value(hostile), canonical_text(hostile));
        let read = parse(&format!("<a x=\"{value}\">{between}</a>")).unwrap();
        assert_eq!(read.attribute("x"), Some(hostile));
        assert_eq!(read.text, hostile);
        assert!(!escape("<'\">").contains(['<', '>', '"', '\'']));
    }
}
