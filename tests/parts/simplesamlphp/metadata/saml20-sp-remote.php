<?php
/* The gateway, as the IdP knows it: from the environment, and from what a test wrote into sp.json since. */

$more = getenv('SSP_STATE') . '/sp.json';

$metadata['urn:amazon:webservices'] = [
    'AssertionConsumerService' => getenv('SSP_ACS_URL'),
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    'saml20.sign.assertion' => getenv('SSP_SIGN_ASSERTION') === 'yes',
    'saml20.sign.response' => getenv('SSP_SIGN_RESPONSE') === 'yes',
    'assertion.lifetime' => (int) getenv('SSP_ASSERTION_LIFETIME'),
] + (is_file($more) ? json_decode(file_get_contents($more), true) : []);
