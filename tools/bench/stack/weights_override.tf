# Lies over a copy of the example's stack, which names no weights.

module "notes" {
  app_servers = {
    for name in local.app_servers : name => {
      machine     = foobar_machine.vm[name]
      address     = local.machines[name]
      environment = { NOTES_SERVER = name }
      weight      = lookup(var.weights, name, null)
    }
  }
}
