<?php
/*
 * The people of the test IdP, with the attributes that AWS reads (every password is the user's
 * name and "-password"):
 *
 *   alice   one role, an hour
 *   bob     two roles, two hours
 *   carol   no role
 */

const AWS = 'https://aws.amazon.com/SAML/Attributes/';
const PROVIDER = 'arn:aws:iam::123456789012:saml-provider/SSP';

$config = [
    'people' => [
        'exampleauth:UserPass',
        'alice:alice-password' => [
            'uid' => ['alice'],
            'groups' => ['data', 'staff'],
            AWS . 'Role' => ['arn:aws:iam::123456789012:role/data-scientist,' . PROVIDER],
            AWS . 'RoleSessionName' => ['alice@example.org'],
            AWS . 'SessionDuration' => ['3600'],
        ],
        'bob:bob-password' => [
            'uid' => ['bob'],
            'groups' => ['staff'],
            AWS . 'Role' => [
                'arn:aws:iam::123456789012:role/data-scientist,' . PROVIDER,
                PROVIDER . ', arn:aws:iam::123456789012:role/team-a/batch',
            ],
            AWS . 'RoleSessionName' => ['bob@example.org'],
            AWS . 'SessionDuration' => ['7200'],
        ],
        'carol:carol-password' => [
            'uid' => ['carol'],
            'groups' => ['staff'],
            AWS . 'RoleSessionName' => ['carol@example.org'],
        ],
    ],
];
