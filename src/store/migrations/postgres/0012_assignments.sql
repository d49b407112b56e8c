-- The roles that an admin assigned to a person whose sign-ins name none. Roles, author, reason and time are sealed,
-- bound to the person: whoever edits the database can neither make nor move one.
CREATE TABLE assignments (
    user_name TEXT NOT NULL,
    idp TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (user_name, idp)
);
