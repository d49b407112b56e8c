//! A strict, namespace-aware reader of XML without a DTD: text in, a small tree out, in one pass.
//!
//! It trusts nothing. It refuses what XML forbids and what no identity provider sends: comments,
//! CDATA, processing instructions, entities but the five, prefixes without a declaration, relative
//! namespaces, and more of anything than the limits say. It never follows a reference, opens a file
//! or repairs a document. quick-xml only cuts the text into tags and text; names, attributes,
//! namespaces and references are judged here.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::lexis::{
    absolute, attribute_value, character_of, line_ends, malformed, ncname, next_attribute,
    split_name, white_space,
};
use super::refusal::{Refusal, cut};
pub(super) use super::space::Space;
use super::space::space_of;

/// How much of each thing a document may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    depth: usize,
    elements: usize,
    attributes: usize,
    declarations: usize,
    in_scope: usize,
    comments: Comments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comments {
    Refused,
    Skipped,
}

impl Limits {
    /// For a response: generous to every identity provider, small to an attacker.
    pub(super) const RESPONSE: Self = Self {
        depth: 32,
        elements: 5000,
        attributes: 32,
        declarations: 16,
        in_scope: 64,
        comments: Comments::Refused,
    };
    /// For metadata, a file of the admin's: larger, and comments are skipped.
    pub(super) const METADATA: Self = Self {
        elements: 50_000,
        comments: Comments::Skipped,
        ..Self::RESPONSE
    };
}

/// An attribute that is no namespace declaration.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) space: Space,
    pub(super) local: &'a str,
    uri: &'a str,
    value: Cow<'a, str>,
}

/// An element with its children; depth is bounded by [`Limits`].
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub(super) space: Space,
    pub(super) uri: &'a str,
    pub(super) local: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) children: Vec<Element<'a>>,
    text: Cow<'a, str>,
    qualified: &'a str,
}

impl<'a> Element<'a> {
    /// Whether it is `local` of `space`.
    pub(super) fn is(&self, space: Space, local: &str) -> bool {
        self.space == space && self.local == local
    }

    /// The unprefixed attribute `name`.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in(Space::None, name)
    }

    /// The attribute `name` of `space`.
    pub(super) fn attribute_in(&self, space: Space, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.space == space && attribute.local == name)
            .map(|attribute| attribute.value.as_ref())
    }

    /// The children that are `local` of `space`.
    pub(super) fn all<'e>(
        &'e self,
        space: Space,
        local: &'e str,
    ) -> impl Iterator<Item = &'e Element<'a>> {
        self.children
            .iter()
            .filter(move |child| child.is(space, local))
    }

    /// The only child that is `local` of `space`; `None` where there is none or more than one.
    pub(super) fn only(&self, space: Space, local: &str) -> Option<&Element<'a>> {
        let mut found = self.children.iter().filter(|child| child.is(space, local));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The text of an element without children; `None` where it has some.
    pub(super) fn text(&self) -> Option<&str> {
        self.children.is_empty().then_some(self.text.as_ref())
    }

    /// Whether there is text beside white space directly inside.
    pub(super) fn has_text(&self) -> bool {
        !self.text.bytes().all(white_space)
    }
}

/// Reads a whole document.
pub(super) fn read(text: &str, limits: Limits) -> Result<Element<'_>, Refusal> {
    let mut tree = Tree::new(limits);
    let mut reader = Reader::from_str(text);
    let mut from = 0;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| malformed(&error.to_string()))?;
        let to = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let slice = text
            .get(from..to)
            .ok_or_else(|| malformed("a tag is cut"))?;
        match event {
            Event::Start(_) => tree.open(inside(slice, 1)?)?,
            Event::Empty(_) => {
                tree.open(inside(slice, 2)?)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(_) => tree.text(slice)?,
            Event::GeneralRef(_) => tree.reference(slice)?,
            Event::Decl(_) if from == 0 => {}
            Event::Comment(_) if limits.comments == Comments::Skipped => {}
            Event::Eof => return tree.finish(),
            _ => return Err(Refusal::Markup {}),
        }
        from = to;
    }
}

/// What stands between `<` and `>` (or, with `end` 2, `/>`).
fn inside(tag: &str, end: usize) -> Result<&str, Refusal> {
    tag.len()
        .checked_sub(end)
        .and_then(|end| tag.get(1..end))
        .ok_or_else(|| malformed("a tag is cut"))
}

struct Binding<'a> {
    prefix: &'a str,
    uri: &'a str,
    space: Space,
}

struct Tree<'a> {
    limits: Limits,
    bindings: Vec<Binding<'a>>,
    /// How many bindings were in scope outside of each open element.
    scopes: Vec<usize>,
    open: Vec<Element<'a>>,
    root: Option<Element<'a>>,
    elements: usize,
}

impl<'a> Tree<'a> {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            bindings: Vec::new(),
            scopes: Vec::new(),
            open: Vec::new(),
            root: None,
            elements: 0,
        }
    }

    fn open(&mut self, tag: &'a str) -> Result<(), Refusal> {
        if self.root.is_some() {
            return Err(malformed("there is an element after the root"));
        }
        self.elements += 1;
        at_most("elements", self.elements, self.limits.elements)?;
        at_most("nested elements", self.open.len() + 1, self.limits.depth)?;
        self.scopes.push(self.bindings.len());
        let name_end = tag.bytes().position(white_space).unwrap_or(tag.len());
        let (qualified, rest) = tag.split_at_checked(name_end).unwrap_or((tag, ""));
        let raw = self.declare(rest)?;
        let (prefix, local) = split_name(qualified)?;
        let (uri, space) = self.resolve(prefix)?;
        let attributes = self.attributes(raw)?;
        self.open.push(Element {
            space,
            uri,
            local,
            attributes,
            children: Vec::new(),
            text: Cow::Borrowed(""),
            qualified,
        });
        Ok(())
    }

    /// Takes the namespace declarations into scope and returns the other attributes.
    fn declare(&mut self, rest: &'a str) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
        let mut others = Vec::new();
        let mut declared = 0;
        let mut rest = rest;
        let outside = self.bindings.len();
        while let Some((name, value, tail)) = next_attribute(rest)? {
            rest = tail;
            let prefix = match name.split_once(':') {
                // `xmlns:=""` would bind the default namespace here, and nothing for another reader.
                Some(("xmlns", "")) => return Err(malformed("a namespace has an empty prefix")),
                Some(("xmlns", prefix)) => prefix,
                None if name == "xmlns" => "",
                _ => {
                    others.push((name, value));
                    at_most(
                        "attributes in an element",
                        others.len(),
                        self.limits.attributes,
                    )?;
                    continue;
                }
            };
            declared += 1;
            at_most(
                "namespaces in an element",
                declared,
                self.limits.declarations,
            )?;
            self.bind(prefix, value, outside)?;
        }
        Ok(others)
    }

    fn bind(&mut self, prefix: &'a str, uri: &'a str, outside: usize) -> Result<(), Refusal> {
        let here = self.bindings.get(outside..).unwrap_or_default();
        if here.iter().any(|binding| binding.prefix == prefix) {
            return Err(malformed("a prefix is declared twice"));
        }
        let reserved =
            prefix == "xml" || prefix == "xmlns" || uri == "http://www.w3.org/2000/xmlns/";
        let space = space_of(uri);
        if reserved
            || space == Space::Xml
            || !absolute(uri)
            || !(prefix.is_empty() || ncname(prefix))
        {
            return Err(Refusal::Namespace {
                found: cut(&format!("xmlns:{prefix}={uri}")),
            });
        }
        self.bindings.push(Binding { prefix, uri, space });
        at_most(
            "namespaces in scope",
            self.bindings.len(),
            self.limits.in_scope,
        )
    }

    fn resolve(&self, prefix: &str) -> Result<(&'a str, Space), Refusal> {
        if prefix == "xml" {
            return Ok(("http://www.w3.org/XML/1998/namespace", Space::Xml));
        }
        let bound = self.bindings.iter().rev().find(|b| b.prefix == prefix);
        match bound {
            Some(binding) => Ok((binding.uri, binding.space)),
            None if prefix.is_empty() => Ok(("", Space::None)),
            None => Err(Refusal::Namespace {
                found: cut(&format!("{prefix}: without a declaration")),
            }),
        }
    }

    fn attributes(&self, raw: Vec<(&'a str, &'a str)>) -> Result<Vec<Attribute<'a>>, Refusal> {
        let mut attributes: Vec<Attribute<'a>> = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let (prefix, local) = split_name(name)?;
            let (uri, space) = match prefix {
                "" => ("", Space::None),
                prefix => self.resolve(prefix)?,
            };
            if attributes.iter().any(|a| a.local == local && a.uri == uri) {
                return Err(malformed("an attribute stands twice in an element"));
            }
            let value = attribute_value(value)?;
            attributes.push(Attribute {
                space,
                local,
                uri,
                value,
            });
        }
        Ok(attributes)
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let element = self
            .open
            .pop()
            .ok_or_else(|| malformed("an end tag has no start"))?;
        self.bindings.truncate(self.scopes.pop().unwrap_or(0));
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, raw: &'a str) -> Result<(), Refusal> {
        if raw.contains("]]>") {
            return Err(malformed("`]]>` stands in text"));
        }
        match self.open.last_mut() {
            Some(element) => append(&mut element.text, line_ends(raw)),
            None if raw.bytes().all(white_space) => {}
            None => return Err(malformed("there is text outside the root")),
        }
        Ok(())
    }

    fn reference(&mut self, raw: &'a str) -> Result<(), Refusal> {
        let character = character_of(raw)?;
        let element = self
            .open
            .last_mut()
            .ok_or_else(|| malformed("there is text outside the root"))?;
        element.text.to_mut().push(character);
        Ok(())
    }

    fn finish(self) -> Result<Element<'a>, Refusal> {
        if let Some(open) = self.open.last() {
            return Err(malformed(&format!("<{}> is not closed", open.qualified)));
        }
        self.root.ok_or_else(|| malformed("there is no element"))
    }
}

fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.to_mut().push_str(&more);
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found <= limit {
        Ok(())
    } else {
        Err(Refusal::Limit { what, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::lexis::check_characters;

    fn code(text: &str) -> &'static str {
        let read = check_characters(text).and_then(|()| read(text, Limits::RESPONSE));
        read.map_or_else(|refusal| refusal.code(), |_| "read")
    }

    #[test]
    fn reads_names_values_and_text_as_xml_means_them() {
        let text = "<a:b xmlns:a='urn:oasis:names:tc:SAML:2.0:protocol' xmlns='urn:x' c='1&amp;2\n3' a:c=\"4\" >x&lt;&#x41;\r\ny<d/></a:b >";
        let root = read(text, Limits::RESPONSE).unwrap();
        assert!(root.is(Space::Protocol, "b"));
        assert_eq!(root.attribute("c"), Some("1&2 3"));
        assert_eq!(root.attribute_in(Space::Protocol, "c"), Some("4"));
        assert_eq!(root.text, "x<A\ny");
        assert_eq!(root.text(), None, "it has a child");
        assert_eq!(
            (root.children[0].uri, root.children[0].local),
            ("urn:x", "d")
        );
    }

    #[test]
    fn a_binding_ends_with_its_element() {
        assert_eq!(code("<a><b xmlns:p='urn:x'><p:c/></b></a>"), "read");
        assert_eq!(code("<a><b xmlns:p='urn:x'/><p:c/></a>"), "namespace");
        assert_eq!(
            code("<a xmlns:p='urn:x'><b xmlns:p='urn:y'/><p:c/></a>"),
            "read"
        );
        // Two prefixes of one namespace make one name.
        assert_eq!(
            code("<a xmlns:p='urn:x' xmlns:q='urn:x' p:i='' q:j=''/>"),
            "read"
        );
        assert_eq!(
            code("<a xmlns:p='urn:x' xmlns:q='urn:x' p:i='' q:i=''/>"),
            "malformed"
        );
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        assert_eq!(code("<a b='1' c=\"2\"></a>"), "read");
        for bad in [
            "",
            " ",
            "x",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a b></a>",
            "<a b=1/>",
            "<a b='1'c='2'/>",
            "<a b='<'/>",
            "<a>]]></a>",
            "<a b='1' b='2'/>",
            "<1/>",
            "<a:b:c xmlns:a='urn:x'/>",
            "<:a/>",
            "<a:/>",
            "< a/>",
            "<a xmlns:p='urn:x' xmlns:p='urn:y'/>",
            "<a xmlns:='urn:x'/>",
            "<a",
            "<a b='",
            "<a =''/>",
            "<é/>",
            "&amp;<a/>",
            "<a/>&amp;",
            "<a b='&'/>",
            "<xmlns:a/>",
        ] {
            assert!(
                ["malformed", "namespace", "entity"].contains(&code(bad)),
                "{bad:?}: {}",
                code(bad)
            );
        }
        for bad in [
            "&nbsp;",
            "&#0;",
            "&#xD800;",
            "&#x110000;",
            "&#xFFFE;",
            "&#;",
            "&#x;",
            "&#+65;",
            "&#8;",
        ] {
            assert_eq!(code(&format!("<a>{bad}</a>")), "entity", "{bad}");
            assert_eq!(code(&format!("<a b='{bad}'/>")), "entity", "{bad}");
        }
        assert!(["malformed", "entity"].contains(&code("<a>&amp</a>")));
    }

    #[test]
    fn refuses_namespaces_that_void_canonicalisation() {
        for uri in [
            "urn:x",
            "http://x.y:8080/z%20z?a=b#c",
            "http://x/#",
            "a+b:c",
        ] {
            assert_eq!(code(&format!("<a xmlns='{uri}'/>")), "read", "{uri}");
        }
        for uri in [
            "",
            "x",
            "../x",
            "//x/y",
            ":x",
            "1:x",
            "urn:",
            "urn:x y",
            // libxml2 cannot read these as addresses, and says so on standard error.
            "urn:x^y",
            "urn:x%4",
            "urn:x#y#z",
            "urn:x[y]",
            "http://x y/",
            "http://",
            "http://x:port/",
            "http://{x}/",
            "urn:&amp;",
            "http://www.w3.org/XML/1998/namespace",
        ] {
            assert_eq!(code(&format!("<a xmlns:p='{uri}'/>")), "namespace", "{uri}");
        }
        assert_eq!(
            code("<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>"),
            "namespace"
        );
        assert_eq!(code("<a xmlns:xmlns='urn:x'/>"), "namespace");
    }

    #[test]
    fn counts_at_the_limit_and_one_beyond() {
        let depth = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert_eq!((code(&depth(32)), code(&depth(33))), ("read", "limit"));
        let siblings = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 1));
        assert_eq!(
            (code(&siblings(5000)), code(&siblings(5001))),
            ("read", "limit")
        );
        let list = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<String>();
        let attributes = |n: usize| format!("<a{}/>", list(n, &|i| format!(" a{i}=''")));
        assert_eq!(
            (code(&attributes(32)), code(&attributes(33))),
            ("read", "limit")
        );
        let spaces = |n: usize| list(n, &|i| format!(" xmlns:n{i}='urn:x'"));
        assert_eq!(code(&format!("<a{}/>", spaces(16))), "read");
        assert_eq!(code(&format!("<a{}/>", spaces(17))), "limit");
        let nested = |n: usize| {
            format!(
                "{}{}",
                format!("<a{}>", spaces(16)).repeat(n),
                "</a>".repeat(n)
            )
        };
        assert_eq!((code(&nested(4)), code(&nested(5))), ("read", "limit"));
    }

    #[test]
    fn declarations_are_of_version_1_0_in_utf_8() {
        for good in [
            "version='1.0'",
            "version=\"1.0\" encoding=\"UTF-8\"",
            "version='1.0' encoding='utf-8' standalone='yes' ",
        ] {
            assert_eq!(code(&format!("<?xml {good}?><a/>")), "read", "{good}");
        }
        for bad in [
            "",
            "version='1.1'",
            "encoding='UTF-8'",
            "version='1.0' encoding='UTF-16'",
            "version='1.0' standalone='maybe'",
            "version='1.0' version='1.0'",
        ] {
            assert_eq!(code(&format!("<?xml {bad}?><a/>")), "declaration", "{bad}");
        }
        assert_eq!(code(" <?xml version='1.0'?><a/>"), "instruction");
        assert_eq!(code("<a>\u{fffe}</a>"), "character");
        assert_eq!(code("<a>\u{ffff}</a>"), "character");
        assert_eq!(code("<a>\u{fffd}\u{85}</a>"), "read");
    }
}
