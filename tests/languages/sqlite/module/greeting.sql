CREATE VIEW greeting AS SELECT 'Hello, module!';
