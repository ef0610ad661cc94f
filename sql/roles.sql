-- The three roles. An administrator runs this once where the engine's own user may not.
--   pmpro_viewer   reads
--   pmpro_operator is the engine: writes, but neither changes nor deletes audit entries
--   pmpro_admin    owns every table and migrates
DO $$
DECLARE
    missing text;
BEGIN
    FOR missing IN
        SELECT wanted FROM unnest(ARRAY['pmpro_viewer', 'pmpro_operator', 'pmpro_admin']) AS wanted
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
    LOOP
        EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
    END LOOP;
    IF NOT pg_has_role('pmpro_operator', 'pmpro_viewer', 'MEMBER') THEN
        GRANT pmpro_viewer TO pmpro_operator;
    END IF;
    -- A user who may create roles is not yet allowed to act as them: as pmpro_admin he migrates, as
    -- pmpro_operator the engine does everything else.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOREACH missing IN ARRAY ARRAY['pmpro_admin', 'pmpro_operator'] LOOP
            BEGIN
                EXECUTE format('GRANT %I TO %I', missing, current_user);
            EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN
                NULL; -- he may have it already; SET ROLE tells
            END;
        END LOOP;
    END IF;
    IF NOT has_schema_privilege('pmpro_admin', 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO pmpro_admin;
    END IF;
END
$$;
