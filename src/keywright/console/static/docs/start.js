// The page is sandboxed: it has no origin, so no cookies and no storage. All calls go to the service that sent it.
const reference = JSON.parse(document.getElementById('document').textContent);
reference.servers = [{ url: new URL('.', location.href).href.replace(/\/$/, '') }];

SwaggerUIBundle({
  spec: reference,
  domNode: document.getElementById('reference'),
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  requestInterceptor: (request) => ({ ...request, credentials: 'omit' }),
});
