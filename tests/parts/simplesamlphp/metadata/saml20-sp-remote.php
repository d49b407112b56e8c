<?php
/* The gateway, as the IdP knows it. */

$metadata['urn:amazon:webservices'] = [
    'AssertionConsumerService' => getenv('SSP_ACS_URL'),
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    'saml20.sign.assertion' => getenv('SSP_SIGN_ASSERTION') === 'yes',
    'saml20.sign.response' => getenv('SSP_SIGN_RESPONSE') === 'yes',
    'assertion.lifetime' => (int) getenv('SSP_ASSERTION_LIFETIME'),
];
