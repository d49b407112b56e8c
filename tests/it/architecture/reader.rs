//! What a source file uses, as the compiler would see it: comments, strings and test modules left out.
//!
//! Macros are not expanded; paths among their tokens are found by their `::`.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

/// What one file does that a rule may mind.
#[derive(Default)]
pub(super) struct Facts {
    /// Paths used outside tests, relative ones resolved: `crate::store::Ledger`, `sqlx::query`.
    pub(super) paths: BTreeSet<String>,
    /// Files of modules declared under `cfg(test)`.
    pub(super) test_files: Vec<String>,
    pub(super) exposes: bool,
    pub(super) vouches: bool,
    pub(super) has_unsafe: bool,
}

/// Walks one file.
pub(super) struct Reader {
    facts: Facts,
    /// The module we are in, from the crate's root.
    module: Vec<String>,
    /// How many `cfg(test)` items enclose us.
    tests: usize,
}

impl Reader {
    /// Reads a file; `path` tells which module it is.
    pub(super) fn read(path: &str, text: &str) -> Facts {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = Self {
            facts: Facts::default(),
            module: module_of(path),
            tests: usize::from(file.attrs.iter().any(is_cfg_test)),
        };
        reader.visit_file(&file);
        reader.facts
    }

    /// Notes a path as written in the module that we are in.
    fn note(&mut self, segments: &[String]) {
        let [first, .., last] = segments else { return };
        if self.tests > 0 {
            return;
        }
        self.facts.vouches |= last == "vouch";
        self.facts.exposes |= last == "expose";
        let resolved = match first.as_str() {
            "crate" | "self" | "super" => self.resolve(segments),
            "rolegate" => [&["crate".to_owned()], &segments[1..]].concat(),
            _ => segments.to_vec(),
        };
        self.facts.paths.insert(resolved.join("::"));
    }

    /// `crate::..`, `self::..` and `super::..` from the crate's root.
    fn resolve(&self, segments: &[String]) -> Vec<String> {
        let mut base = self.module.clone();
        let mut rest = segments;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "crate" => base.clear(),
                "self" => {}
                "super" => {
                    base.pop();
                }
                _ => break,
            }
            rest = tail;
        }
        [&["crate".to_owned()], base.as_slice(), rest].concat()
    }

    fn note_tree(&mut self, before: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(before, &path.tree);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(before, tree);
                }
            }
            syn::UseTree::Name(name) => self.note_end(before, &name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.note_end(before, &rename.ident.to_string()),
            syn::UseTree::Glob(_) => self.note_end(before, "*"),
        }
    }

    fn note_end(&mut self, before: &[String], end: &str) {
        // `use sqlx;` and `use {sqlx}` are paths of one segment, and still uses.
        let mut segments = before.to_vec();
        segments.push(end.to_owned());
        if before.is_empty() {
            segments.push("self".to_owned());
        }
        self.note(&segments);
    }

    /// The tokens of a macro or an attribute are not parsed; paths in them are found by their `::`.
    fn note_tokens(&mut self, tokens: &str) {
        let spaced = tokens.replace("::", " :: ");
        let words: Vec<&str> = spaced
            .split(|c: char| c.is_whitespace() || "()[]{},;<>&*!?=".contains(c))
            .filter(|word| !word.is_empty())
            .collect();
        self.facts.has_unsafe |= words.contains(&"unsafe");
        let mut path: Vec<String> = Vec::new();
        let mut joined = false;
        for word in words {
            if word == "::" {
                joined = true;
                continue;
            }
            if !joined {
                self.note(&std::mem::take(&mut path));
            }
            path.push(word.to_owned());
            joined = false;
        }
        self.note(&path);
        let tight: String = tokens.split_whitespace().collect();
        self.facts.exposes |= self.tests == 0 && tight.contains(".expose()");
    }

    fn within(&mut self, attributes: &[syn::Attribute], walk: impl FnOnce(&mut Self)) {
        let is_test = usize::from(attributes.iter().any(is_cfg_test));
        self.tests += is_test;
        walk(self);
        self.tests -= is_test;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.within(attributes_of(item), |reader| {
            visit::visit_item(reader, item);
        });
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => item.attrs.as_slice(),
            syn::ImplItem::Const(item) => item.attrs.as_slice(),
            _ => &[],
        };
        self.within(attributes, |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_none() && self.tests > 0 {
            let path = format!("src/{}", self.module.join("/"));
            self.facts.test_files.push(format!("{path}.rs"));
            self.facts.test_files.push(format!("{path}/"));
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.note_end(&[], &item.ident.to_string());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.note(&segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.note_tokens(&mac.tokens.to_string());
        visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.facts.has_unsafe |= attribute.path().is_ident("unsafe");
        if let syn::Meta::List(list) = &attribute.meta {
            self.note_tokens(&list.tokens.to_string());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.facts.exposes |= self.tests == 0 && call.method == "expose";
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.facts.has_unsafe = true;
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.facts.has_unsafe |= signature.unsafety.is_some();
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.facts.has_unsafe |= item.unsafety.is_some();
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.facts.has_unsafe = true;
        visit::visit_item_foreign_mod(self, item);
    }
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `cfg(test)` or `cfg(all(test, ..))`; what `any` or `not` say is no test module.
fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    let condition: String = list.tokens.to_string().split_whitespace().collect();
    attribute.path().is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
}

/// `src/saml/gate.rs` is `saml::gate`, `src/saml/mod.rs` is `saml`, `src/lib.rs` is the root.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.trim_start_matches("src/").trim_end_matches(".rs");
    stem.split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
        .map(str::to_owned)
        .collect()
}
