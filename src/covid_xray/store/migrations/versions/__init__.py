"""The migrations, one module each; `down_revision` names the previous one."""
