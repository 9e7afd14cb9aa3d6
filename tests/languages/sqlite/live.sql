SELECT 'live';
.shell sleep 60
