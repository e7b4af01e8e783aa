using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "main", worker = (modules = [ (name = "worker", esModule =
    "export default { async fetch(request) { return new Response('hello'); } };") ],
    compatibilityDate = "2024-01-01")) ],
  sockets = []
);
