# A job that holds the seed mints a certificate for jobs that only plan.
ephemeral "foobar_client_certificate" "ci" {
  role  = "reader"
  actor = "ci@example.com" # the name in the machines' audit logs
  ttl   = "24h"
}

# It hands it over in a place where secrets live; nothing of it is in a plan or
# a state.
resource "vault_kv_secret_v2" "ci" {
  mount = "ci"
  name  = "foobar"
  data_json_wo = jsonencode({
    client_certificate = ephemeral.foobar_client_certificate.ci.certificate_pem
    client_key         = ephemeral.foobar_client_certificate.ci.private_key_pem
  })
  data_json_wo_version = 1
}

# The other job's provider has no seed:
#   provider "foobar" {
#     deployment         = "shop"
#     client_certificate = var.client_certificate # or FOOBAR_CLIENT_CERTIFICATE
#     client_key         = var.client_key         # or FOOBAR_CLIENT_KEY
#   }
