output "releases" {
  description = "SHA-256 of the release on each app server."
  value       = { for name, server in foobar_app_server.this : name => server.release.sha256 }
}

output "generations" {
  description = "Generation of each component on its machine: it counts the applied changes."
  value = merge(
    { load_balancer = foobar_load_balancer.this.generation },
    { for name, server in foobar_app_server.this : name => server.generation },
  )
}
