<?php
/*
 * SimpleSAMLphp as an identity provider for the tests, on PHP's own web server and loopback only.
 *
 * The folder is used where it stands (SIMPLESAMLPHP_CONFIG_DIR); whatever differs between two runs
 * comes from the environment, and everything that is written goes below SSP_STATE, a folder of the
 * run. tests/it/parts/simplesamlphp.rs sets both.
 */

$state = getenv('SSP_STATE');

$config = [
    'baseurlpath' => getenv('SSP_BASE_URL'),
    'certdir' => "$state/",
    'datadir' => "$state/",
    'tempdir' => "$state/tmp",
    'loggingdir' => "$state/",
    'metadatadir' => __DIR__ . '/metadata',

    'secretsalt' => 'loopback tests only, nothing depends on it',
    'auth.adminpassword' => getenv('SSP_ADMIN_PASSWORD'),
    'technicalcontact_name' => 'Tests',
    'technicalcontact_email' => 'na@example.org',
    'timezone' => 'UTC',

    'logging.level' => SimpleSAML\Logger::WARNING,
    'logging.handler' => 'errorlog',
    'debug' => ['saml' => false, 'backtraces' => true, 'validatexml' => false],
    'showerrors' => true,
    'errorreporting' => false,

    'enable.saml20-idp' => true,
    'module.enable' => ['core' => true, 'saml' => true, 'exampleauth' => true],
    'metadata.sources' => [['type' => 'flatfile']],
    'trusted.url.domains' => null, // where a test has the browser go after single logout

    'store.type' => 'phpsession',
    'session.phpsession.savepath' => "$state/tmp",
    'session.phpsession.cookiename' => 'SimpleSAML',
    'session.cookie.name' => 'SimpleSAMLSessionID',
    'session.cookie.secure' => false, // plain http, on loopback
    'session.cookie.samesite' => null,
    'session.authtoken.cookiename' => 'SimpleSAMLAuthToken',
    'session.duration' => 8 * 3600, // becomes SessionNotOnOrAfter

    'language.available' => ['en'],
    'language.default' => 'en',
    'production' => false,
];
