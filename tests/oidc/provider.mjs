// A certified OpenID Connect provider on loopback, driven by tests/oidc_provider.py and of no use outside the tests:
// it signs in whomever the login hint names, and a token carries the claims that its request asks for.
//
// Usage: node provider.mjs '{"modules": folder that holds node_modules, "ports": [...], "resources": [...], "scopes": [...]}'
//
// It takes the first of the ports that is free; 0 stands for any.
//
// stdout: one JSON line when it listens, then one for each command. stdin: one JSON command a line. The end of stdin
// ends the process, so it does not outlive the test run that started it, however that ends.

import { generateKeyPair, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const config = JSON.parse(process.argv[2]);
const resolver = createRequire(join(config.modules, 'package.json'));
const load = (name) => import(pathToFileURL(resolver.resolve(name)));
const { default: Provider, errors } = await load('oidc-provider');
const { createMemoryAdapter } = await load('oidc-provider/lib/adapters/memory_adapter.js');

const HOST = '127.0.0.1';
const MACHINE = { client_id: 'machine', client_secret: randomBytes(32).toString('base64url') };
const WEB = { client_id: 'web', redirect_uri: 'http://127.0.0.1/callback' };
const CONSOLE = { client_id: 'console', client_secret: randomBytes(32).toString('base64url') };
const LIFETIME_SECONDS = 3600;

const secret = randomBytes(32).toString('base64url'); // signs the cookies
const adapter = createMemoryAdapter();
const requests = {};
let keys = [await newKey()];
let issuer;
let provider;
let answer;
let home = 'https://keys.test'; // where the console is
let person = { sub: 'auth0|alice', claims: {} }; // who is at the browser, and the claims of their access tokens

async function newKey() {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function resourceServer(ctx, resource) {
  if (!config.resources.includes(resource)) throw new errors.InvalidTarget();
  return {
    audience: resource,
    scope: config.scopes.join(' '),
    accessTokenFormat: 'jwt',
    accessTokenTTL: LIFETIME_SECONDS,
    jwt: { sign: { alg: 'RS256' } },
  };
}

// The claims come with the token request, as Auth0 takes `organization` there: the tests choose them token by token.
function extraTokenClaims(ctx) {
  if (ctx.oidc.client?.clientId === CONSOLE.client_id) return person.claims;
  const text = ctx.oidc.body?.token_claims;
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new errors.InvalidRequest('token_claims is not JSON');
  }
}

function backdate(ctx, token, jwt) {
  const seconds = Number(ctx.oidc.body?.issued_ago ?? 0);
  if (!Number.isSafeInteger(seconds)) throw new errors.InvalidRequest('issued_ago is not a whole number');
  jwt.payload.iat -= seconds;
  jwt.payload.exp -= seconds;
}

// The provider's own page loads fonts from elsewhere, and the provider says on stdout that it should be replaced.
function logoutSource(ctx, form) {
  ctx.body = `<!doctype html><title>Sign out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`;
}

function settings() {
  return {
    adapter,
    clients: [
      { ...MACHINE, grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
      {
        client_id: WEB.client_id,
        application_type: 'native',
        grant_types: ['authorization_code'],
        redirect_uris: [WEB.redirect_uri],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
      },
      {
        ...CONSOLE,
        grant_types: ['authorization_code'],
        redirect_uris: [`${home}/console/auth/callback`],
        post_logout_redirect_uris: [`${home}/console/signed-out`],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    cookies: { keys: [secret] },
    extraTokenClaims,
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    formats: { customizers: { jwt: backdate } },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys },
    ttl: {
      AccessToken: LIFETIME_SECONDS,
      ClientCredentials: LIFETIME_SECONDS,
      Grant: LIFETIME_SECONDS,
      IdToken: LIFETIME_SECONDS,
      Interaction: LIFETIME_SECONDS,
      Session: LIFETIME_SECONDS,
    },
  };
}

// oidc-provider reads its keys once, so other keys take another Provider. The adapter is shared: a login goes on.
function publish() {
  provider = new Provider(issuer, settings());
  provider.on('server_error', (ctx, error) => console.error(error));
  answer = provider.callback();
}

async function consent({ grantId, params, prompt, session }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  const result = details.prompt.name === 'login'
    ? (person.refuses ? { error: 'access_denied' } : { login: { accountId: details.params.login_hint ?? person.sub } })
    : await consent(details);
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, issuer);
  requests[pathname] = (requests[pathname] ?? 0) + 1;
  if (!pathname.startsWith('/interaction/')) {
    answer(request, response);
    return;
  }
  interact(request, response).catch((error) => {
    response.statusCode = 400;
    response.end(`${error.name}: ${error.message}\n`);
  });
});

function listen(port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => {
      server.off('error', reject);
      resolve(server.address().port);
    });
  });
}

async function listenOnFirst([port, ...others]) {
  try {
    return await listen(port);
  } catch (error) {
    if (error.code !== 'EADDRINUSE' || others.length === 0) throw error;
    return listenOnFirst(others);
  }
}

const commands = {
  async rotate({ keep }) {
    keys = [await newKey(), ...(keep ? keys : [])];
    publish();
    return { kids: keys.map((key) => key.kid) };
  },
  async close() {
    const closed = new Promise((resolve) => { server.close(resolve); });
    server.closeAllConnections();
    await closed;
    return {};
  },
  async open() {
    await listen(Number(new URL(issuer).port));
    return {};
  },
  async person(chosen) {
    person = chosen;
    return {};
  },
  async home({ url }) {
    home = url;
    publish();
    return {};
  },
  async requests() {
    return { requests };
  },
};

async function obey(line) {
  const { command, ...options } = JSON.parse(line);
  return commands[command](options);
}

// Nothing may be asked before `publish`, and nobody knows the port before the line below it.
const port = await listenOnFirst(config.ports);
issuer = `http://${HOST}:${port}`;
publish();
say({ issuer, machine: MACHINE, web: WEB, console: CONSOLE, kid: keys[0].kid });

for await (const line of createInterface({ input: process.stdin })) {
  say(await obey(line).catch((error) => ({ error: error.message })));
}
process.exit(0);
