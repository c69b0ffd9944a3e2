CREATE TABLE chunks (
	digest VARCHAR NOT NULL,
	number INTEGER NOT NULL,
	coding SMALLINT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (digest, number)
);
CREATE TABLE events (
	run_id VARCHAR NOT NULL,
	seq INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	path VARCHAR NOT NULL,
	site VARCHAR NOT NULL,
	node VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	value VARCHAR,
	source VARCHAR NOT NULL,
	started_at DOUBLE NOT NULL,
	finished_at DOUBLE NOT NULL,
	detail TEXT,
	PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
INSERT INTO "events" VALUES('run-1',1,'done','llm#1','llm#1','llm','k1','cccc7ae7103070d456e95f9c5bce2c6874fe4357','executed',1.5,2.5,'{"tokens": {"input": 3}}');
CREATE TABLE leases (
	run_id VARCHAR NOT NULL,
	holder VARCHAR NOT NULL,
	expires_at DOUBLE NOT NULL,
	PRIMARY KEY (run_id)
);
INSERT INTO "leases" VALUES('run-1','elsewhere:7:x',1000.0);
CREATE TABLE memo (
	"key" VARCHAR NOT NULL,
	value VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	path VARCHAR NOT NULL,
	created_at DOUBLE NOT NULL,
	expires_at DOUBLE,
	PRIMARY KEY ("key")
);
INSERT INTO "memo" VALUES('k1','cccc7ae7103070d456e95f9c5bce2c6874fe4357','run-1','llm#1',1.0,NULL);
CREATE TABLE meta (
	name VARCHAR NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema_version','4');
CREATE TABLE profiles (
	agent VARCHAR NOT NULL,
	profile TEXT NOT NULL,
	PRIMARY KEY (agent)
);
INSERT INTO "profiles" VALUES('agents:main','{}');
CREATE TABLE roots (
	digest VARCHAR NOT NULL,
	PRIMARY KEY (digest)
);
CREATE TABLE runs (
	id VARCHAR NOT NULL,
	agent VARCHAR NOT NULL,
	program VARCHAR NOT NULL,
	inputs VARCHAR NOT NULL,
	created_at DOUBLE NOT NULL,
	status VARCHAR NOT NULL,
	deadline_at DOUBLE,
	finished_at DOUBLE,
	result VARCHAR,
	error VARCHAR,
	parent VARCHAR,
	meta TEXT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('run-1','agents:main','hash','0eea150e86d439e1b02b6502380c822143415c10',100.0,'completed',130.0,3.0,'cccc7ae7103070d456e95f9c5bce2c6874fe4357',NULL,NULL,'{"file": "agents.py"}');
CREATE TABLE "values" (
	digest VARCHAR NOT NULL,
	coding SMALLINT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (digest)
);
INSERT INTO "values" VALUES('0eea150e86d439e1b02b6502380c822143415c10',0,X'01640173087175657374696F6E7303776879B1AD7967');
INSERT INTO "values" VALUES('cccc7ae7103070d456e95f9c5bce2c6874fe4357',1,X'28B52FFD601B26C50000800173FE000027106C6F6E6720C1BD64C2010008077C4902');
CREATE INDEX runs_by_agent ON runs (agent, created_at);
CREATE INDEX runs_by_parent ON runs (parent);
CREATE INDEX runs_by_time ON runs (created_at, id);
