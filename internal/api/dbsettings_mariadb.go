package api

import "slices"

// mib is the unit of the sizes below.
const mib = int64(1) << 20

// DBSettings returns the variables of an engine that may be given, by name;
// nil for an engine that is unknown. MariaDB's are those of 11.8; a test on a
// machine compares them with the server.
func DBSettings(engine DBEngine) []DBSetting {
	if engine != EngineMariaDB {
		return nil
	}
	all := slices.Concat(mariadbConnections(), mariadbMemory(), mariadbInnoDB(), mariadbSQL(), mariadbLogs())
	slices.SortFunc(all, func(a, b DBSetting) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// DBSettingNamed returns the setting of that name, if it may be given.
func DBSettingNamed(engine DBEngine, name string) (DBSetting, bool) {
	for _, s := range DBSettings(engine) {
		if s.Name == name {
			return s, true
		}
	}
	return DBSetting{}, false
}

func runtimeInt(name, doc string) DBSetting {
	return DBSetting{Name: name, Type: DBSettingInt, Runtime: true, Doc: doc}
}

func runtimeSize(name, doc string) DBSetting {
	return DBSetting{Name: name, Type: DBSettingSize, Runtime: true, Doc: doc}
}

// memory is a size in the machine's memory.
func memory(name, doc string) DBSetting {
	s := runtimeSize(name, doc)
	s.Memory = true
	return s
}

// shared makes a size in memory one that the server takes once.
func shared(s DBSetting) DBSetting {
	s.Shared = true
	return s
}

func runtimeBool(name, doc string) DBSetting {
	return DBSetting{Name: name, Type: DBSettingBool, Runtime: true, Doc: doc}
}

func runtimeSeconds(name, doc string) DBSetting {
	return DBSetting{Name: name, Type: DBSettingSeconds, Runtime: true, Doc: doc}
}

// atStart makes a setting one that needs a restart.
func atStart(s DBSetting) DBSetting {
	s.Runtime = false
	return s
}

// computed makes a setting one whose default the engine works out at its start.
// A restart is the only way back to that.
func computed(s DBSetting) DBSetting {
	s.Computed = true
	return atStart(s)
}

func mariadbConnections() []DBSetting {
	return []DBSetting{
		runtimeInt("max_connections", "How many clients may be connected at once."),
		// A server that was started without a limit takes none while it runs.
		atStart(runtimeInt("max_user_connections", "How many connections one account may have at once; 0 is no limit.")),
		runtimeInt("max_connect_errors", "After how many broken handshakes in a row a host is turned away."),
		runtimeInt("max_prepared_stmt_count", "How many prepared statements all clients may hold together."),
		computed(runtimeInt("thread_cache_size", "How many threads wait for the next client.")),
		atStart(runtimeInt("back_log", "How many connections may wait to be accepted.")),
		runtimeInt("connect_timeout", "Seconds that a handshake may take."),
		runtimeInt("net_read_timeout", "Seconds to wait for more of what a client is sending."),
		runtimeInt("net_write_timeout", "Seconds to wait for a client to take more of a result."),
		runtimeInt("wait_timeout", "Seconds after which an idle connection of a program is closed; for new connections."),
		runtimeInt("interactive_timeout", "Seconds after which an idle connection of a person is closed; for new connections."),
		runtimeInt("idle_transaction_timeout", "Seconds after which a connection that is idle in a transaction is closed; 0 is never."),
	}
}

func mariadbMemory() []DBSetting {
	return []DBSetting{
		runtimeSize("max_allowed_packet", "The longest row or statement; for new connections. The same on every member."),
		memory("tmp_table_size", "How large a temporary table may grow in memory."),
		memory("max_heap_table_size", "How large a table of the engine MEMORY may grow."),
		memory("sort_buffer_size", "Memory of one sort."),
		memory("join_buffer_size", "Memory of one join without an index."),
		memory("read_buffer_size", "Memory of one sequential read."),
		memory("read_rnd_buffer_size", "Memory of one read in sorted order."),
		shared(memory("key_buffer_size", "Memory for the indexes of MyISAM tables.")),
		memory("binlog_cache_size", "Memory of one transaction's part of the binary log."),
		runtimeInt("table_open_cache", "How many tables all clients may hold open together."),
		runtimeInt("table_definition_cache", "How many table definitions are kept."),
		atStart(shared(memory("aria_pagecache_buffer_size", "Memory for Aria tables, which temporary tables on disk are."))),
		atStart(runtimeBool("performance_schema", "Whether the server measures itself in detail, at a cost of memory.")),
	}
}

func mariadbInnoDB() []DBSetting {
	return []DBSetting{
		atStart(shared(memory("innodb_buffer_pool_size", "Memory for data and indexes: the setting that matters most."))),
		runtimeSize("innodb_log_file_size", "Size of the redo log; larger is faster writing and slower recovery."),
		atStart(shared(memory("innodb_log_buffer_size", "Memory for the redo log of transactions under way."))),
		runtimeInt("innodb_io_capacity", "How many writes a second the disk takes in the background."),
		computed(runtimeInt("innodb_io_capacity_max", "How many it takes when it has to.")),
		runtimeInt("innodb_read_io_threads", "How many threads read."),
		runtimeInt("innodb_write_io_threads", "How many threads write."),
		runtimeInt("innodb_purge_threads", "How many threads remove old row versions."),
		runtimeInt("innodb_lock_wait_timeout", "Seconds that a statement waits for a row lock."),
		runtimeBool("innodb_deadlock_detect", "Whether deadlocks are looked for, or left to the timeout."),
		runtimeBool("innodb_print_all_deadlocks", "Whether each deadlock is written to the log."),
		runtimeBool("innodb_adaptive_hash_index", "Whether InnoDB builds hash indexes by itself."),
		runtimeBool("innodb_snapshot_isolation", "Whether a transaction that meets a newer version of a row fails, as REPEATABLE-READ promises."),
		runtimeBool("innodb_strict_mode", "Whether questionable table options are errors."),
		runtimeBool("innodb_stats_on_metadata", "Whether looking at metadata renews statistics."),
		runtimeInt("innodb_stats_persistent_sample_pages", "How many pages an index's statistics are taken from."),
		atStart(runtimeBool("innodb_rollback_on_timeout", "Whether a lock timeout undoes the transaction, not the statement alone.")),
		atStart(runtimeInt("innodb_autoinc_lock_mode", "How AUTO_INCREMENT values are issued: 0 traditional, 1 consecutive, 2 interleaved.")),
		atStart(runtimeInt("innodb_ft_min_token_size", "The shortest word in a full-text index of InnoDB.")),
		atStart(runtimeInt("ft_min_word_len", "The shortest word in a full-text index of MyISAM and Aria.")),
	}
}

func mariadbSQL() []DBSetting {
	return []DBSetting{
		{
			Name: "sql_mode", Type: DBSettingSet, Runtime: true,
			Doc: "How strict SQL is, as a list of modes; for new connections. Write a combined mode such as TRADITIONAL as the modes it stands for.",
		},
		{
			Name: "transaction_isolation", Type: DBSettingEnum, Runtime: true,
			Doc: "What a transaction sees of others, unless it asks for something else; for new connections.",
		},
		{Name: "character_set_server", Type: DBSettingName, Doc: "The character set of new databases."},
		{Name: "collation_server", Type: DBSettingName, Doc: "The collation of new databases."},
		runtimeInt("group_concat_max_len", "The longest result of GROUP_CONCAT, in bytes."),
		runtimeInt("lock_wait_timeout", "Seconds that a statement waits for a table's metadata lock."),
		runtimeSeconds("max_statement_time", "Seconds after which a statement is ended; 0 is never."),
		runtimeBool("explicit_defaults_for_timestamp", "Whether TIMESTAMP columns are like all others."),
		runtimeBool("local_infile", "Whether clients may load files of their own with LOAD DATA LOCAL."),
		runtimeBool("log_bin_trust_function_creators", "Whether accounts without privileges may make stored functions."),
	}
}

func mariadbLogs() []DBSetting {
	return []DBSetting{
		runtimeBool("slow_query_log", "Whether slow statements are written to /var/log/foobar-db-NAME/slow.log, which nothing rotates."),
		runtimeSeconds("long_query_time", "From how many seconds on a statement is slow."),
		runtimeInt("log_slow_min_examined_row_limit", "How many rows a slow statement must have read to be logged."),
		runtimeBool("log_queries_not_using_indexes", "Whether statements without an index count as slow."),
		runtimeInt("log_warnings", "How much the server tells the journal."),
		{
			Name: "binlog_row_image", Type: DBSettingEnum, Runtime: true,
			Doc: "How much of a changed row the binary log holds.",
		},
		{
			Name: "binlog_expire_logs_seconds", Type: DBSettingInt, Min: 3600, Default: "604800", Runtime: true,
			Doc: "Seconds after which binary logs are removed: longer than a member may be away plus the time of seeding it.",
		},
		{
			Name: "max_binlog_total_size", Type: DBSettingSize, Min: 64 * mib, Default: "8G", Runtime: true,
			Doc: "Room that binary logs may take before the oldest are removed; at least twice max_binlog_size makes sense.",
		},
		{
			Name: "max_binlog_size", Type: DBSettingSize, Min: mib, Default: "256M", Runtime: true,
			Doc: "The size at which the next binary log begins.",
		},
	}
}

// DBSettingRefused tells why a variable of an engine cannot be given, if it is
// one that must be as it is.
func DBSettingRefused(engine DBEngine, name string) (reason string, refused bool) {
	if engine != EngineMariaDB {
		return "", false
	}
	for _, rule := range mariadbRefused() {
		if slices.Contains(rule.names, name) || rule.prefix != "" && len(name) >= len(rule.prefix) && name[:len(rule.prefix)] == rule.prefix {
			return rule.reason, true
		}
	}
	return "", false
}

type refusal struct {
	prefix string
	names  []string
	reason string
}

func mariadbRefused() []refusal {
	const (
		fencing     = "decides who may write, which the replication does: a server boots read-only and only its agent opens it"
		replication = "is what replication rests on and is always set by the agent"
		attribute   = "has an attribute of its own"
		security    = "would open the server to more than its clients, so the agent sets it"
		place       = "is a place on the machine that the agent chooses, one per server"
		durable     = "must stay durable: after a power loss the members would disagree on what was committed"
		program     = "would let the server run what it is not given by its packages or its agent"
	)
	return []refusal{
		{names: []string{"read_only", "super_read_only", "init_rpl_role", "event_scheduler", "offline_mode"}, reason: fencing},
		{names: []string{"server_id"}, reason: attribute + ": server_id"},
		{names: []string{"port", "extra_port"}, reason: attribute + ": port"},
		{names: []string{"bind_address", "skip_networking"}, reason: attribute + ": listen_addresses"},
		{names: []string{
			"log_slave_updates", "log_replica_updates", "binlog_format", "binlog_checksum", "report_host", "report_port",
			"skip_slave_start", "binlog_do_db", "binlog_ignore_db", "auto_increment_increment", "auto_increment_offset",
			"master_verify_checksum", "sql_log_bin", "encrypt_binlog", "skip_name_resolve",
		}, reason: replication},
		{names: []string{"sync_binlog", "innodb_flush_log_at_trx_commit", "innodb_doublewrite", "innodb_force_recovery", "innodb_fast_shutdown"}, reason: durable},
		{names: []string{"datadir", "socket", "pid_file", "basedir", "tmpdir", "slave_load_tmpdir", "innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory", "log_error", "slow_query_log_file", "log_slow_query_file", "general_log_file", "general_log", "log_output", "lc_messages_dir", "character_sets_dir"}, reason: place},
		{names: []string{"require_secure_transport", "secure_file_priv", "skip_grant_tables", "old_passwords", "secure_auth", "tls_version", "user", "chroot", "symbolic_links", "strict_password_validation"}, reason: security},
		{names: []string{"init_connect", "init_file", "init_slave", "open_files_limit", "core_file"}, reason: program},
		{prefix: "gtid_", reason: replication},
		{prefix: "slave_", reason: replication},
		{prefix: "replica_", reason: replication},
		{prefix: "replicate_", reason: replication},
		{prefix: "relay_log", reason: replication},
		{prefix: "rpl_", reason: replication},
		{prefix: "wsrep_", reason: replication},
		{names: []string{"log_bin", "log_bin_index", "log_bin_compress", "log_bin_basename"}, reason: replication},
		{prefix: "ssl_", reason: security},
		{prefix: "plugin_", reason: program},
	}
}
