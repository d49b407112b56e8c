//! Where the elements and attributes of a document stand in its text, so that a mutant is a cut and a paste.
//!
//! A scanner for the mutants' needs, not a parser: it takes what looks like a tag for one, and leaves out
//! what it cannot make sense of, since a mutant of a mutant need not be XML.

use std::ops::Range;

/// An attribute or a namespace declaration in a start tag.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    /// From the blank before it to the closing quote.
    pub(crate) whole: Range<usize>,
    pub(crate) name: Range<usize>,
    /// Between the quotes.
    pub(crate) value: Range<usize>,
}

/// An element with its tags.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) whole: Range<usize>,
    /// The name with its prefix, in the start tag.
    pub(crate) name: Range<usize>,
    /// Between the tags; empty where there is one tag alone.
    pub(crate) inside: Range<usize>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Element {
    /// Whether it is of this local name.
    pub(crate) fn is(&self, text: &str, local: &str) -> bool {
        let name = &text[self.name.clone()];
        name.rsplit(':').next() == Some(local)
    }

    /// The value of the attribute of this name, prefix included.
    pub(crate) fn attribute<'t>(&self, text: &'t str, name: &str) -> Option<&'t str> {
        self.attributes
            .iter()
            .find(|attribute| &text[attribute.name.clone()] == name)
            .map(|attribute| &text[attribute.value.clone()])
    }

    /// Whether no element stands inside.
    pub(crate) fn is_leaf(&self, text: &str) -> bool {
        !text[self.inside.clone()].contains('<')
    }
}

/// The elements of `text` in the order in which they begin.
pub(crate) fn scan(text: &str) -> Vec<Element> {
    let (mut open, mut done): (Vec<Element>, Vec<Element>) = (Vec::new(), Vec::new());
    let mut from = 0;
    while let Some(tag) = next_tag(text, from) {
        from = tag.end;
        let inner = &text[tag.start + 1..tag.end - 1];
        if inner.starts_with(['?', '!']) {
            continue;
        }
        if inner.starts_with('/') {
            let Some(mut element) = open.pop() else {
                continue;
            };
            element.inside.end = tag.start;
            element.whole.end = tag.end;
            done.push(element);
            continue;
        }
        let element = start_tag(text, &tag);
        if inner.ends_with('/') {
            done.push(element);
        } else {
            open.push(element);
        }
    }
    done.sort_by_key(|element| element.whole.start);
    done
}

/// The next `<..>` from `from` on; a quoted `>` does not end it.
fn next_tag(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find('<')?;
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate().skip(start + 1) {
        match (quote, byte) {
            (None, b'>') => return Some(start..at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(opened), byte) if opened == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn start_tag(text: &str, tag: &Range<usize>) -> Element {
    let inner = text[tag.start + 1..tag.end - 1].trim_end_matches('/');
    let name_length = inner.find([' ', '\t', '\n', '\r']).unwrap_or(inner.len());
    let name = tag.start + 1..tag.start + 1 + name_length;
    let mut attributes = Vec::new();
    let mut at = name.end;
    let end = tag.start + 1 + inner.len();
    while let Some(attribute) = next_attribute(&text[..end], at) {
        at = attribute.whole.end;
        attributes.push(attribute);
    }
    Element {
        whole: tag.clone(),
        name,
        inside: tag.end..tag.end,
        attributes,
    }
}

fn next_attribute(text: &str, from: usize) -> Option<Attribute> {
    let equals = from + text.get(from..)?.find('=')?;
    let name = text[from..equals].trim();
    let name_start = from + text[from..equals].find(name)?;
    let opened = equals + 1 + text[equals + 1..].find(['"', '\''])?;
    let quote = char::from(text.as_bytes()[opened]);
    let closed = opened + 1 + text[opened + 1..].find(quote)?;
    Some(Attribute {
        whole: from..closed + 1,
        name: name_start..name_start + name.len(),
        value: opened + 1..closed,
    })
}

/// `text` with `range` replaced.
pub(crate) fn splice(text: &str, range: &Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..range.start], &text[range.end..])
}

#[test]
fn a_document_is_scanned_as_it_stands() {
    let text = "<?xml version='1.0'?><a:b c=\"1>2\" xmlns:a='urn:a'>\n<d/><e f = 'g' >h</e></a:b>";
    let elements = scan(text);
    let names: Vec<&str> = elements.iter().map(|e| &text[e.name.clone()]).collect();
    assert_eq!(names, ["a:b", "d", "e"]);
    assert!(elements[0].is(text, "b") && !elements[0].is_leaf(text));
    assert_eq!(elements[0].attribute(text, "c"), Some("1>2"));
    assert_eq!(elements[0].attribute(text, "xmlns:a"), Some("urn:a"));
    assert_eq!(&text[elements[1].whole.clone()], "<d/>");
    assert_eq!(elements[2].attribute(text, "f"), Some("g"));
    assert_eq!(&text[elements[2].inside.clone()], "h");
    assert_eq!(
        splice(text, &elements[0].whole, "x"),
        "<?xml version='1.0'?>x"
    );
    // What is no XML is no reason to stop.
    assert_eq!(scan("</a><b c=><d").len(), 0);
}
