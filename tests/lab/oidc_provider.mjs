// A hospital's provider: panva's oidc-provider with people and groups, and its own pages to log in.
// node oidc_provider.mjs SETTINGS: issuer, port, client, people {name: {groups}}, inToken, keys; prints one line when it listens.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { default: Provider } = await import(pathToFileURL(settings.library));

const provider = new Provider(settings.issuer, {
  clients: [settings.client],
  pkce: { required: () => true, methods: ['S256'] },
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  // where false, what a scope grants stands in the ID token, and not at the UserInfo endpoint alone
  conformIdTokenClaims: !settings.inToken,
  cookies: { keys: ['of the laboratory'] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  // whoever is told of a logout has more than the usual two and a half seconds: the machine may be busy
  httpOptions: () => ({ signal: AbortSignal.timeout(60_000) }),
  findAccount(context, id) {
    const person = settings.people[id];
    return person && { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: person }) };
  },
});
provider.on('backchannel.error', (context, error) => console.error(error));
provider.on('server_error', (context, error) => console.error(error));
createServer(provider.callback()).listen(settings.port, '127.0.0.1', () => console.log('listens'));
