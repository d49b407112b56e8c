//! Routes, actors, handlers that only translate, pages.
