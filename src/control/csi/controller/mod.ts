/** The controller service: it writes API objects and waits for the reconcilers. */
export { ControllerService } from './controller-service.ts';
