//! What a SAML response must be before anybody believes it: gate, signature, conditions, attributes.
