//! A grant becomes credentials; the only user of the AWS SDK.
