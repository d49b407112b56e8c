//! # Attacks on SAML, and what stops them here
//!
//! SAML hands a stranger's browser an XML document and asks the service to believe the part of it that is
//! signed. For twenty years services have believed another part. This chapter walks through the holes that
//! were found: what each was, where it came from, and which rule stops it here. An id in bold is a class.
//! `fixtures/saml/manifest.json` lists, by these ids, every document that shows one, the code it must be
//! refused with and the good document beside it; `tests/it/museum/catalogue.rs` lists the tests that show
//! the classes which no document can, and fails when this chapter and those lists differ.
//!
//! Two answers recur, and are worth more than any rule for one attack:
//!
//! * **What was signed is all that is read.** The [engine] returns the very bytes that it hashed; they are
//!   parsed again, and what they say is held against what the gate saw. A difference is an alarm
//!   ([`Refusal::VerifiedDiffers`]), not only a refusal. The unsigned wrapper can only add refusals.
//! * **The gate is narrow and comes first.** Before any C code sees a document it passes [lexis], [xml],
//!   [structure] and [signature_shape], which together take what identity providers send and nothing else.
//!   Most attacks need a shape that no provider sends.
//!
//! Every refusal looks the same from outside but for its reference; its [code](crate::saml::Refusal::code) stands in log
//! and audit. Documents are judged in a test under a filter that ends the process if one of them
//! makes it open a file or a socket or start anything.
//!
//! ## Signature and key
//!
//! * **SIG-01** Nothing is signed, and the service takes it: samael's own parser does when the metadata holds
//!   no certificate. Here metadata without a key [refuses](crate::saml::metadata), and a document without a
//!   signature that covers the Assertion is [`Refusal::Unsigned`].
//! * **SIG-02** The signature was taken away, with a forgery or without. PAN-OS did not mind
//!   ([CVE-2020-2021], with certificate validation off). There is no switch here that turns it off, and
//!   `require_signed` can only ask for more ([`Refusal::SignatureRequired`]).
//! * **SIG-03** Another key signed. Where two signatures stand, both must verify: a bad one is
//!   never passed over because another is good ([`Refusal::SignatureInvalid`]).
//! * **SIG-04** Another key signed and comes along in KeyInfo: as a certificate, as a bare KeyValue
//!   (pysaml2, [CVE-2021-21239]), or behind an address to be fetched. KeyInfo [never chooses the
//!   key](crate::saml::trust), and what would fetch or unwrap one is [`Refusal::KeyInfo`].
//! * **SIG-05** An HMAC, keyed with the certificate that everybody knows. Only RSA and ECDSA are
//!   taken ([`Refusal::SignatureAlgorithm`]), and the kind of key must fit the kind of signature.
//! * **SIG-06** SHA-1 and MD5, for which collisions can be bought ([`Refusal::SignatureAlgorithm`],
//!   [`Refusal::DigestAlgorithm`]).
//! * **SIG-07** An identity provider's key of 1,024 bits. Metadata that holds one is refused
//!   ([`KeyError::Weak`]): it never becomes [`Trust`].
//! * **SIG-08** An expired certificate. Providers forget theirs, so the default warns; with
//!   `strict_certificates` it is [`Refusal::CertificateExpired`].
//! * **SIG-09** A SignatureValue that is missing, empty, huge or no base64 ([`Refusal::SignatureValue`]).
//! * **SIG-10** `HMACOutputLength` of eight bits, or none ([CVE-2009-0217]). A method has no parameters here
//!   ([`Refusal::SignatureShape`]).
//! * **SIG-11** The key of one trusted provider, under the Issuer of another. Keys belong to one
//!   [`Trust`] and are tried for its Issuer alone ([`Refusal::Issuer`], [`Refusal::SignatureInvalid`]).
//! * **SIG-12** Issuers that differ between Response and Assertion ([`Refusal::IssuersDiffer`]).
//!
//! ## Wrapping
//!
//! A genuine signed element is moved where the verifier still finds it by its ID, and a forgery takes its
//! place where the application reads. Somorovsky et al., *On Breaking SAML* (USENIX Security 2012), broke 11
//! of 14 systems with it; every few years another falls. The two answers above are made for this.
//! The set of eight is shown for a signed Assertion and for a signed Response, with a new ID and
//! with the genuine one.
//!
//! * **XSW-01**, **XSW-02** The genuine Response inside the forged one's signature, or beside it.
//! * **XSW-03**, **XSW-04**, **XSW-05**, **XSW-06** The forged Assertion before, around, or carrying the
//!   signature of the genuine one, which stands behind it or inside its signature.
//!   samlify took one of these as late as 2025 ([CVE-2025-47949]).
//! * **XSW-07**, **XSW-08** One of the two in Extensions, or in the signature's Object.
//!   All eight end at [`Refusal::AssertionPlace`] or [`Refusal::AssertionCount`]: there is exactly one
//!   Assertion, directly in the Response.
//! * **XSW-09** A second part of a signature, so that one is verified and the other read
//!   ([`Refusal::SignatureShape`]).
//! * **XSW-10** Genuine parts in StatusDetail, Advice or a value, where `//ds:DigestValue` finds them first
//!   (ruby-saml, [CVE-2024-45409]). Outside a signature nothing of XML Signature may stand
//!   ([`Refusal::SignaturePlace`], [`Refusal::Unexpected`]).
//! * **XSW-11** Two elements of one ID, also where one is written as a character reference
//!   ([`Refusal::DuplicateId`], [`Refusal::BadId`]).
//! * **XSW-12** A second root, or text after the root, which xmldom took ([CVE-2022-39353]; node-saml,
//!   [CVE-2022-39299]): [`Refusal::Malformed`].
//! * **XSW-13** Two Assertions, both genuine. **XSW-14** One signed and one not, in either order
//!   (crewjam/saml, [CVE-2022-41912]): [`Refusal::AssertionCount`].
//! * **XSW-15** A signature that refers to another element than the one it stands in. **XSW-16** The Response
//!   carries the Assertion's signature, so that it seems signed itself: [`Refusal::Reference`].
//! * **XSW-17** An encrypted Assertion beside the genuine one: [`Refusal::Encrypted`].
//! * **XSW-18** Verified from one copy, read from another, as node-saml did with the document that
//!   was posted ([CVE-2025-54419]). There is one copy, and only the verified bytes are read.
//! * **XSW-19** Another message that the provider signs: a logout, a request, a failure with a
//!   forgery in a decoy of a signature ([`Refusal::NotAResponse`], [`Refusal::AssertionPlace`]).
//!
//! ## What a signature says it covers
//!
//! xmlsec follows References and runs transforms *before* it looks at the signature's value: whoever can
//! post can run them. So the gate lets through exactly one shape, and as a second line the engine
//! has [no way left to open anything](crate::saml::engine).
//!
//! * **REF-01** Two SignedInfo, one verified and one read (xml-crypto, [CVE-2025-29774]). **REF-02** A comment
//!   in DigestValue, behind which one reader stops ([CVE-2025-29775]): [`Refusal::SignatureShape`],
//!   [`Refusal::Markup`].
//! * **REF-03** Several References, of which the last one or none covers the Assertion; 800 cost xmlsec 0.9 s.
//!   .NET fetched one that was remote ([CVE-2022-34716]). **REF-04** No Reference, so that nothing is
//!   covered and everything verifies: [`Refusal::ReferenceCount`].
//! * **REF-05** An empty URI, or none: the whole document, whatever it is. **REF-06** A URI
//!   without `#`, quoted, an XPointer. **REF-07** An address: the gateway would call it. **REF-08** A device or
//!   a FIFO: `/dev/zero` grew a process to 4 GB. All [`Refusal::Reference`]: the URI is `#` and the
//!   parent's ID, byte for byte.
//! * **REF-09** XSLT, a language to program in; ManageEngine ran it for strangers
//!   ([CVE-2022-47966]). **REF-10** XPath filters that cut the forgery out of the digest. **REF-11** Any
//!   other, repeated, swapped or missing transform, and a second `Algorithm` with a prefix: libxml2 finds
//!   attributes by local name and would have run that one. [`Refusal::Transforms`],
//!   [`Refusal::ForbiddenAttribute`].
//! * **REF-12** Canonicalisation with comments, inclusive, or one of the sender's choosing (Santuario,
//!   [CVE-2013-2172]); a giant PrefixList: [`Refusal::Canonicalization`].
//! * **REF-13** Object and Manifest, which say what else was signed: [`Refusal::SignatureShape`].
//! * **REF-14** A relative namespace makes libxml2's canonicaliser fail, and the digest of nothing fits
//!   every document: *The Fragile Lock* (PortSwigger, 2025; ruby-saml [CVE-2025-66568], xmlseclibs
//!   [CVE-2025-66578]). Every namespace must be absolute: [`Refusal::Namespace`].
//! * **REF-15** `x:ID` beside `ID`, of which readers see one each: [`Refusal::ForbiddenAttribute`].
//! * **REF-16** Prefixes bound anew, names that a reader writes down otherwise than it read them
//!   (Go's encoding/xml, [CVE-2020-29509], [CVE-2020-29510], [CVE-2020-29511], by which crewjam/saml
//!   fell, [CVE-2020-27846]), a `Signature` in another namespace (ruby-saml, [CVE-2025-25292] and again
//!   [CVE-2025-66567]): [`Refusal::ForeignName`], [`Refusal::Malformed`].
//! * **REF-17** SignedInfo in another element, a signature in a signature: [`Refusal::SignaturePlace`].
//!
//! ## XML
//!
//! * **XML-01** A comment in the middle of a name: one reader sees `admin@example.org`, the other
//!   `admin@example.org.evil.org` (Duo, 2018: [CVE-2017-11427], [CVE-2017-11428], [CVE-2017-11429],
//!   [CVE-2017-11430], Shibboleth's [CVE-2018-0489]). There is no `<!` in a response: [`Refusal::Markup`],
//!   [`Refusal::Instruction`].
//! * **XML-03** A DOCTYPE: external entities, or quotes that one reader takes for the end (ruby-saml,
//!   [CVE-2025-25291]). **XML-04** Entity bombs, exponential ([CVE-2003-1564]) and quadratic. **XML-05** Default
//!   attributes from an ATTLIST. All [`Refusal::Markup`], before a parser sees them.
//! * **XML-06** Stylesheet instructions, XInclude, `xml:base`: [`Refusal::Instruction`],
//!   [`Refusal::ForeignName`], [`Refusal::ForbiddenAttribute`].
//! * **XML-07** Other encodings, a byte order mark, overlong UTF-8, NUL: [`Refusal::NotUtf8`],
//!   [`Refusal::Declaration`], [`Refusal::Character`].
//! * **XML-08** What is not well-formed, which libxml2 repairs in the mode samael uses:
//!   [`Refusal::Malformed`], [`Refusal::Entity`].
//! * **XML-10** Depth, width, size: [`Refusal::Limit`], and [`FormError::TooLong`] before that.
//! * **XML-11** Compressed bodies, base64 that two readers decode differently: [`FormError::ContentEncoding`],
//!   [`FormError::NotBase64`]. **XML-12** Parameters twice, in a query or in parts, of which a filter before us
//!   may see another one: [`FormError::Repeated`], [`FormError::NotAForm`].
//! * **XML-13** SAML's names in other namespaces: samael reads by local name. [`Refusal::ForeignName`].
//! * **XML-14** Control characters and line breaks aimed at the log. Control characters end at
//!   [`Refusal::Character`]; whatever is logged is quoted and cut, and the log is JSON.
//!
//! ## Conditions
//!
//! These documents are genuinely signed and meant for somebody else, or for another time. They stand in one
//! [table](crate::saml::conditions), asked in order; `rolegate explain` shows them all.
//!
//! * **COND-01** [`Refusal::Destination`] and **COND-03** [`Refusal::Recipient`] name another address, by exact
//!   bytes. **COND-04** Another [audience](crate::saml::Refusal::Audience), also beside ours: every restriction must name us.
//! * **COND-05** Another [issuer](crate::saml::Refusal::Issuer), and users of a domain that the provider may not speak for
//!   ([`Refusal::UserDomain`]).
//! * **COND-06** An answer to a request that is unknown, used, older than ten minutes or another browser's, or
//!   that says so only where nothing is signed: [`Refusal::InResponseTo`], and the store's
//!   [requests](crate::store).
//! * **COND-07** A [status](crate::saml::Refusal::Status) other than Success, success inside a failure. **COND-08** Another
//!   [version](crate::saml::Refusal::Version).
//! * **COND-09** [Expired](crate::saml::Refusal::Expired), [not yet valid](crate::saml::Refusal::NotYetValid), at every boundary; times
//!   that parsers read differently ([`Refusal::BadTime`]). **COND-10** Issued
//!   [long ago or ahead](crate::saml::Refusal::IssueInstant).
//! * **COND-11** No confirmation, two, or [another method](crate::saml::Refusal::ConfirmationMethod).
//! * **COND-12** [No Conditions](crate::saml::Refusal::NoConditions). **COND-13** One that we
//!   [do not know](crate::saml::Refusal::UnknownCondition), and must therefore not ignore.
//! * **COND-14** [No AuthnStatement](crate::saml::Refusal::NoAuthnStatement). **COND-15** [No NameID, or
//!   two](crate::saml::Refusal::Subject).
//!
//! ## Replay
//!
//! The [ledger](crate::store) takes the Assertion's ID, and the Response's where it is signed, before STS is
//! asked. A [`Fresh`] assertion comes from nowhere else.
//!
//! * **REP-01** Twice. **REP-02** 64 at once: one sign-in, one call of STS for a role. **REP-03** At another
//!   replica, after a restart. **REP-04** The same Assertion in another Response. **REP-06** Under load, with the
//!   process killed in between.
//! * **REP-07** In the skew after NotOnOrAfter: an id is kept longer than its document can be taken, and 24
//!   hours at least. **REP-09** After STS failed: the id stays used.
//!
//! ## Attributes
//!
//! A bad Role value is an offer denied with its reason and hinders no other; a repeated attribute, a bad name
//! or duration refuses the sign-in. Nothing is trimmed, folded or repaired.
//!
//! * **ATT-01** No Role, an empty one, nil: no offer. **ATT-02** The attribute twice
//!   ([`Refusal::AttributeRepeated`]), or under a name that only looks right. **ATT-04** Several ARNs in a
//!   value, invisible characters. **ATT-05** Role and provider of different accounts.
//!   **ATT-06** Wildcards, odd accounts and partitions: [`RoleArn`] has a grammar.
//! * **ATT-07** A prefix of an allowed ARN is another ARN. **ATT-09** A role that was not offered is
//!   denied however wide the allow-list is.
//! * **ATT-10** Session names ([`Refusal::SessionName`], [`Refusal::NoUser`]). **ATT-11** Durations
//!   ([`Refusal::SessionDuration`]), digit by digit. **ATT-13** Markup and line breaks on their way to a page,
//!   a header or the log: names have a grammar, pages escape, the log is JSON.
//!
//! ## Browser
//!
//! * **WEB-01** A stranger's own response, posted from your browser, signs you in as the stranger. By
//!   default a page asks first, and its button carries a token bound to a cookie of that answer.
//!   **WEB-02** An answer to our request without the cookie that the request left.
//! * **WEB-03** `return_to` and RelayState that lead elsewhere or break a header: a path, or an origin that was
//!   configured ([`return_target`](crate::flow::return_target)).
//! * **WEB-04** A session id that was there before the sign-in: each makes its own. **WEB-05** A GET
//!   to the ACS. **WEB-06** Secrets in a cache. **WEB-08** Failures that differ from outside.
//!
//! ## Encryption
//!
//! Anybody can encrypt for rolegate: its key is in its metadata. So what comes out of a ciphertext is worth
//! no more than a document that was posted, and no answer may tell a stranger how far decryption came. A
//! signed Response is verified over the ciphertext before anything is decrypted
//! ([*How to Break XML Encryption*][break], Jager and Somorovsky 2011, reads AES-CBC by trying; 2012 RSA, after
//! Bleichenbacher 1998). What does not unwrap is decrypted all the same, with a key that nobody knows, and
//! fails as everything else does: [`Refusal::DecryptionFailed`].
//!
//! * **ENC-01** PKCS#1 v1.5, Triple DES, key wrapping, labels: [`Refusal::EncryptionAlgorithm`]; RSA-OAEP and
//!   AES alone are taken.
//! * **ENC-02** AES-CBC that no signature covers: [`Refusal::EncryptedCbcUnsigned`], and under a signature
//!   that does not hold [`Refusal::SignatureInvalid`], before a key is touched.
//! * **ENC-03** Ciphertexts that are short, empty, cut, wrongly tagged or for another key:
//!   [`Refusal::DecryptionFailed`] or, where the document shows it, [`Refusal::EncryptionShape`].
//! * **ENC-04** A plaintext that is a Response, two Assertions, has a DTD, a comment, a declaration, or borrows a
//!   prefix from around it: [`Refusal::EncryptedContent`], or what the gate says of the like in clear.
//! * **ENC-05** Clear and encrypted together, two EncryptedAssertions: [`Refusal::Encrypted`]; keys and
//!   ciphertexts that would have to be fetched, agreed on or chosen: [`Refusal::EncryptionShape`].
//! * **ENC-06** Unsigned inside: [`Refusal::Unsigned`], [`Refusal::SignatureRequired`].
//! * **ENC-07** EncryptedID and EncryptedAttribute, outside and inside: [`Refusal::Encrypted`].
//!
//! An assertion that came encrypted cannot be forwarded to AWS: method `saml` denies its roles and says so.
//!
//! ## Single logout
//!
//! A stranger's logout request would end other people's work, and an old one what began since. Messages are
//! read signed or not at all, by a key of the provider whose Issuer they bear, addressed to us, at most five
//! minutes old, and once ([`logout`](crate::saml::logout)). In a query the octets that arrived are verified,
//! each parameter may stand once, and what inflates beyond its bound is refused.
//!
//! ## OpenID Connect, refresh and assignments
//!
//! A sign-in without XML has holes of its own: swapped codes, mixed-up providers, unsigned tokens, stolen refresh
//! tokens. They have a [chapter of their own](crate::manual::openid).
//!
//! ## What is not stopped here
//!
//! * **A stolen key of the provider** (*Golden SAML*, CyberArk 2017; used against the customers of SolarWinds
//!   in 2020; *Silver SAML*, Semperis 2024, for keys that an admin uploads). Whoever has it signs what he
//!   likes, for everybody, and no check of a document can tell. What helps stands elsewhere: keys in
//!   hardware at the provider, `user_domains`, a short allow-list, and the audit, whose sign-ins the provider's
//!   own log can be held against.
//! * **The method `saml`** forwards the very assertion to AWS. For five minutes the user's browser holds it too
//!   and could redeem it at STS by itself, for every role that it names. The allow-list bounds what rolegate
//!   hands out, not that. Where it matters, use `relay` or `broker`; `rolegate trust-policy` shows how.
//! * **A stolen relay key** signs tokens for everybody, as a provider's would. It is sealed in the store under
//!   the master key, is never written elsewhere, and the tokens it signs name one role and live five
//!   minutes, so that a stolen token is worth little. `rolegate keys retire` takes a key out of what is
//!   published; AWS forgets it when it reads the issuer's keys again. Trust policies that pin the token's
//!   subject (`rolegate trust-policy` prints such) keep one role's tokens from another's.
//! * **A stolen master key** opens every copy of the database that was made under it. `rolegate keys rotate` takes
//!   it out of use: once it is retired nothing is sealed under it, and the database refuses what would be. The thief
//!   may write to the database and still not have it seal again: each key says under its own seal which ones it
//!   replaced, and a gateway goes by that ([`master_keys_forged`](super::request_log)). What was copied before stays
//!   open, so that keys, sessions and leases are to be replaced too. Until it is retired, whoever has it and can write
//!   to the database can add values under it: retire it soon, and take its line out of every file.
//! * **Whoever writes to the database** without the master key reads no secret and makes nothing that is sealed, but
//!   tokens, entries, leases and the ways into a session are rows like others: a row of his own is an admin's token. A
//!   sealed value can be put back to an older one of the same row, and the whole database to an older state. `rolegate
//!   audit verify` names what was done to the audit, but not that its end was put back: the sealed head of then, and
//!   the records behind it cut off. A gateway that saw what is gone records an `alarm` before it records anything else;
//!   one that was started since cannot know. What was put back shows where an export or a copy, kept elsewhere, goes
//!   further (`rolegate audit verify FILE`), and to who noted an end (`rolegate audit verify --at-least`).
//! * **rolegate's own AWS identity**, for `broker`, may assume every role that trusts it. Give it that
//!   permission and no other; the role it runs as is refused to everybody
//!   ([`OwnRole`](crate::sts::IssueError::OwnRole)).
//! * **Expired certificates** of a provider verify unless `strict_certificates` is set. The key is the same; who
//!   treats expiry as withdrawal should set it.
//! * **A provider that lies.** It may say whatever it likes of its users; `user_domains` keeps it to its
//!   own, and providers never mix.
//! * **A browser that is owned**, or an admin's machine, is a person to rolegate. Revoking ends what exists;
//!   credentials that AWS issued live until they expire.
//! * **xmlsec, libxml2 and OpenSSL** compute the signature. The gate keeps from them all but one shape; a
//!   fault in their arithmetic would be ours too.
//!
//! [engine]: crate::saml::engine
//! [lexis]: crate::saml::lexis
//! [xml]: crate::saml::xml
//! [structure]: crate::saml::structure
//! [signature_shape]: crate::saml::signature_shape
//! [`Fresh`]: crate::store::Fresh
//! [`FormError::ContentEncoding`]: crate::saml::FormError::ContentEncoding
//! [`FormError::NotAForm`]: crate::saml::FormError::NotAForm
//! [`FormError::NotBase64`]: crate::saml::FormError::NotBase64
//! [`FormError::Repeated`]: crate::saml::FormError::Repeated
//! [`FormError::TooLong`]: crate::saml::FormError::TooLong
//! [`KeyError::Weak`]: crate::saml::KeyError::Weak
//! [`RoleArn`]: crate::model::RoleArn
//! [`Trust`]: crate::saml::Trust
//! [`Refusal::AssertionCount`]: crate::saml::Refusal::AssertionCount
//! [`Refusal::AssertionPlace`]: crate::saml::Refusal::AssertionPlace
//! [`Refusal::AttributeRepeated`]: crate::saml::Refusal::AttributeRepeated
//! [`Refusal::BadId`]: crate::saml::Refusal::BadId
//! [`Refusal::BadTime`]: crate::saml::Refusal::BadTime
//! [`Refusal::Canonicalization`]: crate::saml::Refusal::Canonicalization
//! [`Refusal::CertificateExpired`]: crate::saml::Refusal::CertificateExpired
//! [`Refusal::Character`]: crate::saml::Refusal::Character
//! [`Refusal::Declaration`]: crate::saml::Refusal::Declaration
//! [`Refusal::Destination`]: crate::saml::Refusal::Destination
//! [`Refusal::DigestAlgorithm`]: crate::saml::Refusal::DigestAlgorithm
//! [`Refusal::DuplicateId`]: crate::saml::Refusal::DuplicateId
//! [`Refusal::DecryptionFailed`]: crate::saml::Refusal::DecryptionFailed
//! [`Refusal::Encrypted`]: crate::saml::Refusal::Encrypted
//! [`Refusal::EncryptedCbcUnsigned`]: crate::saml::Refusal::EncryptedCbcUnsigned
//! [`Refusal::EncryptedContent`]: crate::saml::Refusal::EncryptedContent
//! [`Refusal::EncryptionShape`]: crate::saml::Refusal::EncryptionShape
//! [`Refusal::EncryptionAlgorithm`]: crate::saml::Refusal::EncryptionAlgorithm
//! [`Refusal::Entity`]: crate::saml::Refusal::Entity
//! [`Refusal::ForbiddenAttribute`]: crate::saml::Refusal::ForbiddenAttribute
//! [`Refusal::ForeignName`]: crate::saml::Refusal::ForeignName
//! [`Refusal::InResponseTo`]: crate::saml::Refusal::InResponseTo
//! [`Refusal::Instruction`]: crate::saml::Refusal::Instruction
//! [`Refusal::Issuer`]: crate::saml::Refusal::Issuer
//! [`Refusal::IssuersDiffer`]: crate::saml::Refusal::IssuersDiffer
//! [`Refusal::KeyInfo`]: crate::saml::Refusal::KeyInfo
//! [`Refusal::Limit`]: crate::saml::Refusal::Limit
//! [`Refusal::Malformed`]: crate::saml::Refusal::Malformed
//! [`Refusal::Markup`]: crate::saml::Refusal::Markup
//! [`Refusal::Namespace`]: crate::saml::Refusal::Namespace
//! [`Refusal::NoUser`]: crate::saml::Refusal::NoUser
//! [`Refusal::NotAResponse`]: crate::saml::Refusal::NotAResponse
//! [`Refusal::NotUtf8`]: crate::saml::Refusal::NotUtf8
//! [`Refusal::Recipient`]: crate::saml::Refusal::Recipient
//! [`Refusal::Reference`]: crate::saml::Refusal::Reference
//! [`Refusal::ReferenceCount`]: crate::saml::Refusal::ReferenceCount
//! [`Refusal::SessionDuration`]: crate::saml::Refusal::SessionDuration
//! [`Refusal::SessionName`]: crate::saml::Refusal::SessionName
//! [`Refusal::SignatureAlgorithm`]: crate::saml::Refusal::SignatureAlgorithm
//! [`Refusal::SignatureInvalid`]: crate::saml::Refusal::SignatureInvalid
//! [`Refusal::SignaturePlace`]: crate::saml::Refusal::SignaturePlace
//! [`Refusal::SignatureRequired`]: crate::saml::Refusal::SignatureRequired
//! [`Refusal::SignatureShape`]: crate::saml::Refusal::SignatureShape
//! [`Refusal::SignatureValue`]: crate::saml::Refusal::SignatureValue
//! [`Refusal::Transforms`]: crate::saml::Refusal::Transforms
//! [`Refusal::Unexpected`]: crate::saml::Refusal::Unexpected
//! [`Refusal::Unsigned`]: crate::saml::Refusal::Unsigned
//! [`Refusal::UserDomain`]: crate::saml::Refusal::UserDomain
//! [`Refusal::VerifiedDiffers`]: crate::saml::Refusal::VerifiedDiffers
//! [break]: https://dl.acm.org/doi/10.1145/2046707.2046756
//! [CVE-2003-1564]: https://www.cve.org/CVERecord?id=CVE-2003-1564
//! [CVE-2009-0217]: https://www.cve.org/CVERecord?id=CVE-2009-0217
//! [CVE-2013-2172]: https://www.cve.org/CVERecord?id=CVE-2013-2172
//! [CVE-2017-11427]: https://www.cve.org/CVERecord?id=CVE-2017-11427
//! [CVE-2017-11428]: https://www.cve.org/CVERecord?id=CVE-2017-11428
//! [CVE-2017-11429]: https://www.cve.org/CVERecord?id=CVE-2017-11429
//! [CVE-2017-11430]: https://www.cve.org/CVERecord?id=CVE-2017-11430
//! [CVE-2018-0489]: https://www.cve.org/CVERecord?id=CVE-2018-0489
//! [CVE-2020-2021]: https://www.cve.org/CVERecord?id=CVE-2020-2021
//! [CVE-2020-27846]: https://www.cve.org/CVERecord?id=CVE-2020-27846
//! [CVE-2020-29509]: https://www.cve.org/CVERecord?id=CVE-2020-29509
//! [CVE-2020-29510]: https://www.cve.org/CVERecord?id=CVE-2020-29510
//! [CVE-2020-29511]: https://www.cve.org/CVERecord?id=CVE-2020-29511
//! [CVE-2021-21239]: https://www.cve.org/CVERecord?id=CVE-2021-21239
//! [CVE-2022-34716]: https://www.cve.org/CVERecord?id=CVE-2022-34716
//! [CVE-2022-39299]: https://www.cve.org/CVERecord?id=CVE-2022-39299
//! [CVE-2022-39353]: https://www.cve.org/CVERecord?id=CVE-2022-39353
//! [CVE-2022-41912]: https://www.cve.org/CVERecord?id=CVE-2022-41912
//! [CVE-2022-47966]: https://www.cve.org/CVERecord?id=CVE-2022-47966
//! [CVE-2024-45409]: https://www.cve.org/CVERecord?id=CVE-2024-45409
//! [CVE-2025-25291]: https://www.cve.org/CVERecord?id=CVE-2025-25291
//! [CVE-2025-25292]: https://www.cve.org/CVERecord?id=CVE-2025-25292
//! [CVE-2025-29774]: https://www.cve.org/CVERecord?id=CVE-2025-29774
//! [CVE-2025-29775]: https://www.cve.org/CVERecord?id=CVE-2025-29775
//! [CVE-2025-47949]: https://www.cve.org/CVERecord?id=CVE-2025-47949
//! [CVE-2025-54419]: https://www.cve.org/CVERecord?id=CVE-2025-54419
//! [CVE-2025-66567]: https://www.cve.org/CVERecord?id=CVE-2025-66567
//! [CVE-2025-66568]: https://www.cve.org/CVERecord?id=CVE-2025-66568
//! [CVE-2025-66578]: https://www.cve.org/CVERecord?id=CVE-2025-66578
