// A real OpenID provider for the tests: npm's oidc-provider on a free loopback port, and beside it, on another,
// what a test needs of whoever runs a provider.
//
//     oidc_provider.mjs SETTINGS
//
// SETTINGS is JSON: {
//   clients:    [{ client_id, client_secret, redirect_uris, .. }], confidential, client_secret_basic
//   accounts:   { NAME: { CLAIM: value, .. }, .. }, each with `sub` = NAME unless the claims say otherwise
//   rotate:     whether a refresh token is good once (default true)
//   lifetimes:  { IdToken: seconds, .. }, oidc-provider's `ttl`
//   algorithm:  of ID tokens: RS256 (default), ES256, ..
// }
// Prints one JSON line when it serves: { issuer, control, version }. Ends when its standard input does.
//
// The log-in page takes `login=NAME` and consents to all that is asked; `deny=REASON` says no. The control port:
//
//     POST /keys     { keep }                new signing keys; `keep` has the old ones published on
//     POST /claims   { account, claims }     replaces what an account's ID tokens say from now on
//     POST /revoke   { account }             ends all grants and tokens of an account
//     POST /trouble  { status }              the token endpoint answers so from now on; null mends it
//     GET  /counters ?COUNTER=N              once the counter is N or more: { authorization_code, refresh_token,
//                                            refused, keys, end_session }
//     GET  /issued                           every token that was given out: [text, ..]
//
// No secret or token is printed. The packages are where tests/setup put them: NODE_PARTS names that folder.

import { generateKeyPair, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

// Warnings about a development's defaults are no news here, and they go to standard output.
console.info = () => {};
console.warn = () => {};
const require = createRequire(`${process.env.NODE_PARTS}/`);
const { default: Provider } = await import(require.resolve('oidc-provider'));
const { version } = require('oidc-provider/package.json');

const settings = {
  rotate: true, lifetimes: {}, algorithm: 'RS256', ...JSON.parse(process.argv[2]),
};
const accounts = new Map(Object.entries(settings.accounts));
const cookieKeys = [randomBytes(32).toString('hex')];
const counters = { authorization_code: 0, refresh_token: 0, refused: 0, keys: 0, end_session: 0 };
const counted = new EventEmitter();
counted.setMaxListeners(0);
const kept = new Map();
const issued = [];
let trouble = null;

function count(name) {
  counters[name] += 1;
  counted.emit('counted');
}

/** What the provider stores, all of it in one map, so that it outlives a change of keys. */
class Adapter {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload, expiresIn) {
    const end = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
    kept.set(this.key(id), { model: this.model, payload, end });
  }

  async find(id) {
    const found = kept.get(this.key(id));
    return found && found.end > Date.now() ? found.payload : undefined;
  }

  async findByUid(uid) {
    for (const { model, payload, end } of kept.values()) {
      if (model === this.model && payload.uid === uid && end > Date.now()) return payload;
    }
    return undefined;
  }

  async findByUserCode() { return undefined; }

  async consume(id) { kept.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { kept.delete(this.key(id)); }

  async revokeByGrantId(grantId) { forget((payload) => payload.grantId === grantId); }
}

function forget(matches) {
  for (const [key, { payload }] of kept) if (matches(payload)) kept.delete(key);
}

async function newKey() {
  const curve = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[settings.algorithm];
  const generate = promisify(generateKeyPair);
  const pair = curve
    ? await generate('ec', { namedCurve: curve })
    : await generate('rsa', { modulusLength: 2048 });
  return pair.privateKey.export({ format: 'jwk' });
}

async function findAccount(ctx, name) {
  const claims = accounts.get(name);
  return claims && { accountId: name, claims: async () => ({ sub: name, ...claims }) };
}

/** A provider of the claims and keys that there are now; all else it finds in what is kept. */
function provider(issuer, keys) {
  const port = new URL(issuer).port;
  const names = new Set(['sub', ...[...accounts.values()].flatMap(Object.keys)]);
  const made = new Provider(issuer, {
    adapter: Adapter,
    clients: settings.clients.map((client) => ({
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: settings.algorithm,
      ...client,
    })),
    jwks: { keys },
    findAccount,
    claims: { openid: [...names] },
    scopes: ['openid', 'email', 'offline_access'],
    conformIdTokenClaims: false,
    rotateRefreshToken: settings.rotate,
    issueRefreshToken: async (ctx, client, code) => code.scopes.has('offline_access'),
    pkce: { required: () => true },
    ttl: {
      AccessToken: 3600, AuthorizationCode: 60, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400,
      Session: 86400, ...settings.lifetimes,
    },
    // Browsers send cookies to every port of a host: providers beside each other have names of their own.
    cookies: {
      keys: cookieKeys,
      names: { session: `op${port}`, interaction: `op${port}_interaction`, resume: `op${port}_resume` },
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx, form) {
          const button = '<button form="op.logoutForm" name="logout" value="yes">Sign out</button>';
          ctx.body = page('Sign out', `${form}${button}`);
        },
      },
    },
    renderError(ctx, out) {
      ctx.type = 'html';
      ctx.body = page('Refused', JSON.stringify(out).replaceAll('<', '&lt;'));
    },
  });
  made.use(async (ctx, next) => {
    if (ctx.path === '/token' && trouble !== null) {
      ctx.status = trouble;
      return;
    }
    await next();
    const { route, params } = ctx.oidc ?? {};
    if (route === 'token') {
      const { id_token, refresh_token, access_token } = ctx.body;
      issued.push(...[id_token, refresh_token, access_token].filter((text) => text !== undefined));
      count(ctx.status === 200 ? params.grant_type : 'refused');
    }
    if (route === 'jwks') count('keys');
    if (route === 'end_session_confirm' && ctx.status === 303) count('end_session');
  });
  return made;
}

function page(title, body) {
  return `<!DOCTYPE html><html lang="en"><head><title>${title}</title></head><body>${body}</body></html>`;
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** The log-in page: one form, which signs in and consents at once. */
async function interact(current, request, response) {
  const details = await current.interactionDetails(request, response);
  if (request.method !== 'POST') {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    const field = '<label>Name <input name="login"></label><button>Sign in</button>';
    response.end(page('Sign in', `<form method="post" action="/interaction/${details.uid}">${field}</form>`));
    return;
  }
  const form = new URLSearchParams(await read(request));
  const login = form.get('login') || details.session?.accountId;
  let result = { error: form.get('deny'), error_description: 'the person said no' };
  if (!form.has('deny')) {
    if (!accounts.has(login)) throw new Error('nobody of this name');
    const grant = new current.Grant({ accountId: login, clientId: details.params.client_id });
    grant.addOIDCScope(details.params.scope);
    result = { login: { accountId: login }, consent: { grantId: await grant.save() } };
  }
  await current.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const server = createServer();
const control = createServer();
server.listen(0, '127.0.0.1');
control.listen(0, '127.0.0.1');
await Promise.all([once(server, 'listening'), once(control, 'listening')]);
const issuer = `http://127.0.0.1:${server.address().port}`;
let keys = [await newKey()];
let current = provider(issuer, keys);

server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    current.callback()(request, response);
    return;
  }
  interact(current, request, response).catch((error) => {
    response.statusCode = 400;
    response.end(error.message);
  });
});

const acts = {
  async '/keys'({ keep }) { keys = [await newKey(), ...(keep ? keys : [])]; },
  async '/claims'({ account, claims }) { accounts.set(account, claims); },
  async '/revoke'({ account }) { forget((payload) => payload.accountId === account && !payload.uid); },
  async '/trouble'({ status }) { trouble = status; },
};

async function act(request, response) {
  const url = new URL(request.url, issuer);
  if (url.pathname === '/counters') {
    const due = ([name, least]) => counters[name] >= Number(least);
    while (![...url.searchParams].every(due)) await once(counted, 'counted');
  } else if (url.pathname !== '/issued') {
    await acts[url.pathname](JSON.parse(await read(request)));
    current = provider(issuer, keys);
  }
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(url.pathname === '/issued' ? issued : counters));
}

control.on('request', (request, response) => {
  act(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(error.stack);
  });
});

// Whoever started it holds the other end.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
const { port } = control.address();
process.stdout.write(`${JSON.stringify({ issuer, control: `http://127.0.0.1:${port}`, version })}\n`);
