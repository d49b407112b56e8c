//! What the claims of a verified ID token say of the person.
