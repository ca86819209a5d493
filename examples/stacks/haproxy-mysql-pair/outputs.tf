output "releases" {
  description = "SHA-256 of the release on each app server."
  value       = module.notes.releases
}
