package database

// MigrateFrom lets tests bring their own migrations.
var MigrateFrom = migrate
