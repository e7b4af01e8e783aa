using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "main", worker = (modules = [ (name = "worker", esModule =
    "export default { async fetch(request) { return new Response('hello ' + request.url); } };") ],
    compatibilityDate = "2024-01-01")) ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "main") ]
);
