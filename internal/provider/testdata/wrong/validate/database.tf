resource "foobar_db_server" "engine" {
  machine = local.web1
  name    = "main"
  engine  = "oracle" # <-
}

resource "foobar_db_server" "server_id_of_0" {
  machine   = local.web1
  name      = "main"
  engine    = "mariadb"
  server_id = 0 # <-
}

resource "foobar_db_server" "every_address_and_one" {
  machine          = local.web1
  name             = "main"
  engine           = "mariadb"
  listen_addresses = ["*", "10.0.0.1"] # <-
}

resource "foobar_db_server" "client_by_name" {
  machine         = local.web1
  name            = "main"
  engine          = "mariadb"
  allowed_clients = ["web2"] # <-
}

resource "foobar_db_server" "unknown_setting" {
  machine = local.web1
  name    = "main"
  engine  = "mariadb"
  settings = {
    max_conections = "500" # <-
  }
}

resource "foobar_db_server" "setting_of_another_type" {
  machine = local.web1
  name    = "main"
  engine  = "mariadb"
  settings = {
    innodb_buffer_pool_size = "much" # <-
  }
}

resource "foobar_db_replication" "primary" {
  name    = "main"
  primary = "web9" # <-
  members = local.members
}

resource "foobar_db_replication" "member_by_another_name" {
  name    = "main"
  primary = "db1"
  members = {
    db1 = { server = local.main } # <-
  }
}

resource "foobar_db_replication" "one_id_for_two" {
  name    = "main"
  primary = "web1"
  members = {
    web1 = { server = local.main }
    web2 = { server = merge(local.main, { machine = { name = "web2", address = "10.0.0.2" } }) } # <-
  }
}

resource "foobar_db_replication" "delay_of_half_a_second" {
  name    = "main"
  primary = "web1"
  members = {
    web1 = { server = local.main, delay = "1500ms" } # <-
  }
}

resource "foobar_db_replication" "witness_with_a_database" {
  name      = "main"
  primary   = "web1"
  members   = local.members
  witnesses = { web1 = local.web1 } # <-
}

resource "foobar_db_replication" "database_of_the_server" {
  name    = "main"
  primary = "web1"
  members = local.members
  databases = {
    shop  = {}
    mysql = {} # <-
  }
}

resource "foobar_db_replication" "charset_by_another_name" {
  name    = "main"
  primary = "web1"
  members = local.members
  databases = {
    shop = { charset = "utf8" } # <-
  }
}

resource "foobar_db_replication" "collation_of_another_charset" {
  name    = "main"
  primary = "web1"
  members = local.members
  databases = {
    shop = { charset = "latin1", collation = "utf8mb4_bin" } # <-
  }
}

resource "foobar_db_replication" "user_of_the_server" {
  name    = "main"
  primary = "web1"
  members = local.members
  users = {
    root = { password_wo = "hunter2", password_wo_version = 1 } # <-
  }
}

resource "foobar_db_replication" "user_without_a_password" {
  name    = "main"
  primary = "web1"
  members = local.members
  users = {
    app = {} # <-
  }
}

resource "foobar_db_replication" "password_without_a_version" {
  name    = "main"
  primary = "web1"
  members = local.members
  users = {
    app = { password_wo = "hunter2" } # <-
  }
}

resource "foobar_db_replication" "unknown_privilege" {
  name      = "main"
  primary   = "web1"
  members   = local.members
  databases = { shop = {} }
  users = {
    app = { # <-
      password_wo         = "hunter2"
      password_wo_version = 1
      grants              = { shop = ["SELECT", "SUPER"] }
    }
  }
}

resource "foobar_db_replication" "reseed_of_the_primary" {
  name    = "main"
  primary = "web1"
  members = local.members
  reseed = {
    node  = "web1" # <-
    token = "2026-11-30"
  }
}

resource "foobar_db_replication" "drop_of_what_is_wanted" {
  name      = "main"
  primary   = "web1"
  members   = local.members
  databases = { shop = {} }
  drop = {
    databases = ["shop"] # <-
    token     = "2026-11-30"
  }
}

resource "foobar_db_replication" "drop_without_a_token" {
  name    = "main"
  primary = "web1"
  members = local.members
  drop = {
    databases = ["old"]
    token     = "" # <-
  }
}
