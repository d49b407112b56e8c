//! File and environment become checked values; refuses to start on anything doubtful.
