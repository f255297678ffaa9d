import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findResource } from '#api/resources/mod.ts';
import { checkObject } from './admission.ts';

test('That rules were not checked is said once, whoever found the problem before them', () => {
  const resource = findResource('holdfast.dev', 'v1alpha1', 'volumes');
  assert.ok(resource !== undefined);
  const messagesOf = (metadata: object, spec: object): string[] => {
    const object = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata, spec };
    try {
      checkObject(resource, object, undefined);
      return [];
    } catch (error) {
      const { body } = error as { body: { details: { causes: { message: string }[] } } };
      return body.details.causes.map(({ message }) => message);
    }
  };
  const good = { size: '1Gi', replicas: 1 };
  assert.deepEqual(messagesOf({ name: 'v' }, good), []);
  const missing = messagesOf({ name: 'v' }, { size: '1Gi' });
  assert.equal(missing.length, 2, missing.join('\n'));
  assert.equal(missing.filter((text) => text.includes('were not checked')).length, 1);
});
